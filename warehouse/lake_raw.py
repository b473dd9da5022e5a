"""Raw rows in a shared lake: its tables, and which payloads stand in it.

Belongs here: the tables, what is noted of each machine that sends, how a payload is known. Does not: sending (`lake_sending`),
taking (`lake_taking`), the marts (`lake_publish`).

Schema `raw` has the raw tables of the working files, without their load sequence, which is of one file. `ops.payloads` is a log
that only grows: each line says that a publisher sent a payload, or withdrew it. A publisher numbers what it sends: whoever takes
goes on behind the last number that it saw of each. Rows of a payload are known by publisher, payload and time of receipt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from warehouse.lake import NAME, Lake, LakeError, committed, literal
from warehouse.lake_layout import choose_format
from warehouse.lake_locks import lake_lock
from warehouse.marts import Mart
from warehouse.raw_tables import RawTable, quoted
from warehouse.table_shapes import OWNER, Shape, columns_of

LOAD_SEQ = "_load_seq"
PAYLOAD_COLUMNS: Mapping[str, str] = {
    "payload_id": "varchar", "dataset": "varchar", "scope": "varchar", "slot": "timestamp", "fetched_at": "timestamp",
    "snapshot_at": "timestamp", "snapshot_at_basis": "varchar", "sha256": "varchar", "byte_count": "bigint",
    "row_count": "bigint", "foreign_row_count": "bigint",
}  # fmt: skip
LISTED = ", ".join(PAYLOAD_COLUMNS)
LOG = f"{NAME}.ops.payloads"
LOG_COLUMNS = {**PAYLOAD_COLUMNS, OWNER: "varchar", "_sent_seq": "bigint", "_is_withdrawn": "boolean"}
NOTES = "landing_"
NOTE_COLUMNS = {"basis": "varchar", "load_seq": "bigint", "payload_count": "bigint", "sent_seq": "bigint"}
SENDERS = f"""
    select table_name from duckdb_tables()
    where database_name = $1 and schema_name = 'main' and starts_with(table_name, '{NOTES}') order by all
"""


@dataclass(frozen=True)
class SentUpTo:
    """How far a publisher has sent: from which working file, up to which load, how many payloads of it, in how many steps."""

    basis: str = ""
    load_seq: int = 0
    payload_count: int = 0
    sent_seq: int = 0


def raw_name(dataset: str) -> str:
    return f"{NAME}.raw.{quoted(dataset)}"


def raw_columns(table: RawTable) -> dict[str, str]:
    """What the lake keeps of a raw table; beside it, the publisher."""
    return {name: kind for name, kind in table.definition().items() if name != LOAD_SEQ}


def notes_of(publisher: str) -> str:
    return NOTES + publisher


def senders(connection: duckdb.DuckDBPyConnection, lake: str = NAME) -> list[str]:
    """Who ever sent raw rows to an attached lake."""
    return [table.removeprefix(NOTES) for (table,) in connection.execute(SENDERS, [lake]).fetchall()]


def landing_of(connection: duckdb.DuckDBPyConnection, publisher: str) -> SentUpTo:
    row = connection.execute(f"select {', '.join(NOTE_COLUMNS)} from {NAME}.main.{notes_of(publisher)}").fetchone()
    return SentUpTo(*row) if row else SentUpTo()


def standing(publisher: str, only: str = "true") -> str:
    """The payloads of a publisher that it did not withdraw, as a relation; `only` narrows the log that is looked at."""
    return (
        f"(select * from (select * from {LOG} where {OWNER} = {literal(publisher)} and {only}) "
        "qualify row_number() over (partition by payload_id, fetched_at order by _sent_seq desc) = 1 and not _is_withdrawn)"
    )


@dataclass(frozen=True)
class _Table:
    """A table that is to be in the lake; its rows are kept apart by the day of a column, where one is named."""

    schema: str
    name: str
    columns: Mapping[str, str]
    day: str = ""

    @property
    def address(self) -> str:
        return f"{NAME}.{self.schema}.{quoted(self.name)}"


def lay_out(connection: duckdb.DuckDBPyConnection, lake: Lake, tables: Sequence[RawTable], publisher: str) -> None:
    """Make what the attached lake lacks of tables and columns. Raises `LakeError` where a column is of another type."""
    wanted = [_Table("raw", table.name, {**raw_columns(table), OWNER: "varchar"}, "_slot") for table in tables]
    wanted += [_Table("ops", "payloads", LOG_COLUMNS, "slot"), _Table("main", notes_of(publisher), NOTE_COLUMNS)]
    if not any(_lacking(connection, wanted).values()):
        return
    with lake_lock(lake), committed(connection, "tables of raw rows"):
        choose_format(connection)
        for schema in ("raw", "ops"):
            connection.execute(f"create schema if not exists {NAME}.{schema}")
        for table, missing in zip(wanted, _lacking(connection, wanted).values(), strict=True):
            _make(connection, table, missing)


def lay_out_like(connection: duckdb.DuckDBPyConnection, source: str) -> list[Shape]:
    """Make the tables of raw rows that another attached lake has, in the transaction of whoever calls; each with what it is to be
    brought to. None where nobody ever sent any."""
    found = [("raw", "_slot", columns_of(connection, literal(source), "raw"))]
    found += [("ops", "slot", columns_of(connection, literal(source), "ops"))]
    tables = [_Table(schema, name, dict(columns), day) for schema, day, named in found for name, columns in named.items()]
    for schema in {table.schema for table in tables}:
        connection.execute(f"create schema if not exists {NAME}.{schema}")
    for table, missing in zip(tables, _lacking(connection, tables).values(), strict=True):
        _make(connection, table, missing)
    return [_shape(table, source) for table in tables]


def _shape(table: _Table, source: str) -> Shape:
    """Of every publisher its own rows are brought, whatever others have."""
    mart = Mart(f"{table.schema}.{table.name}", units=(table.day,), partition_by=table.day, per_publisher=True)
    columns = tuple((name, kind) for name, kind in table.columns.items() if name != OWNER)
    return Shape(mart, columns, None, table.address.replace(NAME, source, 1), table.address)


def copy_landings(connection: duckdb.DuckDBPyConnection, source: str) -> None:
    """How far each publisher has sent, as another attached lake notes it, in the transaction of whoever calls."""
    for publisher in senders(connection, source):
        table = f"main.{notes_of(publisher)}"
        columns = ", ".join(f"{name} {kind}" for name, kind in NOTE_COLUMNS.items())
        connection.execute(f"create table if not exists {NAME}.{table} ({columns})")
        connection.execute(f"delete from {NAME}.{table}")
        connection.execute(f"insert into {NAME}.{table} from {source}.{table}")


def _make(connection: duckdb.DuckDBPyConnection, table: _Table, missing: Sequence[str]) -> None:
    if len(missing) < len(table.columns):
        for name in missing:
            connection.execute(f"alter table {table.address} add column {quoted(name)} {table.columns[name]}")
        return
    columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in table.columns.items())
    connection.execute(f"create table {table.address} ({columns})")
    if day := table.day:
        connection.execute(f"alter table {table.address} set partitioned by (year({day}), month({day}), day({day}))")


def _lacking(connection: duckdb.DuckDBPyConnection, tables: Sequence[_Table]) -> dict[str, list[str]]:
    """The columns that each table has not yet, by its address."""
    there = {schema: columns_of(connection, literal(NAME), schema) for schema in {table.schema for table in tables}}
    found = {}
    for table in tables:
        kinds = dict(there[table.schema].get(table.name, ()))
        found[table.address] = [name for name in table.columns if name not in kinds]
        for name, kind in table.columns.items():
            if kinds.get(name, kind).lower() != kind.lower():
                raise LakeError(
                    f"the lake's {table.schema}.{table.name}.{name} is {kinds[name]}, and {kind} in the registry of this machine",
                    "run the same version on all machines",
                )
    return found
