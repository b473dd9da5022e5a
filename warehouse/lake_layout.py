"""The tables, words and views of the lake, before any row: made where they lack, described as the models say.

Belongs here: DDL of the lake. Does not: rows (`changes`), when it is needed and in what transaction (`lake_publish`,
`lake_moving`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from warehouse.as_of import inside, write_spans_macro
from warehouse.edition import write_views
from warehouse.lake import NAME, LakeError, literal
from warehouse.marts import Mart
from warehouse.raw_tables import quoted
from warehouse.table_shapes import OWNER, Shape

# Half the room that DuckDB's own defaults take; pandas, Spark and Arrow read it. Large groups of rows let values repeat.
FILE_OPTIONS = {"parquet_compression": "zstd", "parquet_version": "2", "parquet_row_group_size": "500000"}
OWNER_WORDS = "Which publisher wrote the row; the names are in `htw lake status`."
Columns = tuple[tuple[str, str], ...]


def choose_format(connection: duckdb.DuckDBPyConnection) -> None:
    for option, value in FILE_OPTIONS.items():
        connection.execute(f"call {NAME}.set_option({literal(option)}, {literal(value)})")


def make_table(connection: duckdb.DuckDBPyConnection, shape: Shape) -> None:
    """Make a table, in the place of one that there may be."""
    columns = (*shape.columns, (OWNER, "VARCHAR")) if shape.owner else shape.columns
    connection.execute(f"drop table if exists {shape.there}")
    connection.execute(f"create table {shape.there} ({', '.join(f'{quoted(column)} {kind}' for column, kind in columns)})")
    if shape.mart.partition_by:
        at = quoted(shape.mart.partition_by)
        connection.execute(f"alter table {shape.there} set partitioned by (year({at}), month({at}), day({at}))")


def make_room(connection: duckdb.DuckDBPyConnection, shape: Shape, there: Columns | None) -> bool:
    """Make a table that several publishers fill, or the columns that it lacks; whether anything was made.

    Nothing is taken away: rows of others are in it. Raises `LakeError` where a column is of another type.
    """
    if there is None:
        make_table(connection, shape)
        return True
    for name, kind in lacking(shape, there):
        connection.execute(f"alter table {shape.there} add column {quoted(name)} {kind}")
    return bool(lacking(shape, there))


def lacking(shape: Shape, there: Columns | None) -> list[tuple[str, str]]:
    """The columns that a table has not yet. Raises `LakeError` where one is of another type."""
    kinds: Mapping[str, str] = dict(there or ())
    for name, kind in shape.columns:
        if kinds.get(name, kind) != kind:
            raise LakeError(
                f"the lake's {shape.mart.name}.{name} is {kinds[name]}, and {kind} in the models of this machine",
                "run the same version on all machines; if it is this one's, name an empty lake in HTW_LAKE_URL and HTW_LAKE_DATA",
            )
    return [pair for pair in shape.columns if pair[0] not in kinds]


def describe(connection: duckdb.DuckDBPyConnection, shape: Shape) -> None:
    if shape.kept_by:
        connection.execute(f"alter table {shape.there} set sorted by ({shape.kept_by})")
    connection.execute(f"comment on table {shape.there} is {_text(shape.mart.description)}")
    if shape.mart.spans:
        with inside(connection, NAME):
            write_spans_macro(connection, shape.mart.name, shape.mart.spans)
    words = {**shape.mart.columns, **({OWNER: OWNER_WORDS} if shape.owner else {})}
    for name in [*(name for name, _ in shape.columns), OWNER]:
        if description := words.get(name):
            connection.execute(f"comment on column {shape.there}.{quoted(name)} is {_text(description)}")


def exchange_views(connection: duckdb.DuckDBPyConnection, marts: Sequence[Mart]) -> None:
    """The views of the database in use, and no others."""
    wanted = {mart.name for mart in marts if mart.is_view}
    found = connection.execute(
        f"select view_name from duckdb_views() where (database_name, schema_name) = ({literal(NAME)}, 'marts')"
    ).fetchall()
    for (name,) in found:
        if name not in wanted:
            connection.execute(f"drop view {NAME}.marts.{quoted(name)}")
    write_views(connection, NAME, marts)


def _text(description: str) -> str:
    return literal(" ".join(description.split()))
