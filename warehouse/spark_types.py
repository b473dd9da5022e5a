"""DuckDB's types as Spark reads them from Parquet: what each column is cast to before it is written.

Belongs here: the types. Does not: files (`spark_export`).

A time here is UTC without a zone. Parquet can say so, but Spark then reads a TIMESTAMP_NTZ, which it compares with `now()` by the
zone of its session, and earlier versions do not know; as an instant it is the same moment everywhere. Spark has no integers
without a sign and none of 128 bits, and a time of day only since 4.1.
"""

from __future__ import annotations

import duckdb
from duckdb.sqltypes import DuckDBPyType

from warehouse.connection import WarehouseError
from warehouse.raw_tables import quoted

INSTANT, TEXT = "timestamp with time zone", "varchar"
SAME = (
    "boolean", "tinyint", "smallint", "integer", "bigint", "float", "double", "decimal", "varchar", "blob", "date", INSTANT,
)  # fmt: skip
OTHER = {
    "utinyint": "smallint", "usmallint": "integer", "uinteger": "bigint", "ubigint": "decimal(20, 0)",
    "hugeint": "decimal(38, 0)", "uhugeint": "decimal(38, 0)",
    "timestamp": INSTANT, "timestamp_s": INSTANT, "timestamp_ms": INSTANT, "timestamp_ns": INSTANT,
    "time": TEXT, "time_ns": TEXT, "time with time zone": TEXT, "interval": TEXT, "uuid": TEXT, "enum": TEXT, "bit": TEXT,
    "bignum": TEXT,
}  # fmt: skip


def cast_for_spark(column: str, type_name: str) -> str:
    """The column as an expression of a type that Spark reads, under its own name; the connection's time zone must be UTC.

    Raises `WarehouseError` for a type that Spark has nothing for.
    """
    wanted = spark_type(duckdb.sqltype(type_name))
    if wanted is None:
        raise WarehouseError(f"{column} is {type_name}, which Spark cannot read", "name the other tables")
    return f"cast({quoted(column)} as {wanted}) as {quoted(column)}"


def spark_type(kind: DuckDBPyType) -> str | None:
    """The type to cast to, in DuckDB's words; None where there is none. JSON is text to both."""
    if kind.id in ("list", "array", "map", "struct"):
        return _nested(kind)
    return str(kind).lower() if kind.id in SAME else OTHER.get(kind.id)


def _nested(kind: DuckDBPyType) -> str | None:
    inner = {name: spark_type(child) for name, child in kind.children if isinstance(child, DuckDBPyType)}
    if None in inner.values():
        return None
    if kind.id == "struct":
        return f"struct({', '.join(f'{quoted(name)} {wanted}' for name, wanted in inner.items())})"
    return f"map({inner['key']}, {inner['value']})" if kind.id == "map" else f"{inner['child']}[]"
