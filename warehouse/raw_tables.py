"""The shape of the raw tables: the source's own columns, plus where each row came from.

Belongs here: table definitions and their creation. Does not: moving rows into them (`load`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import duckdb

Kind = Literal["document", "rows"]

ORIGIN_COLUMNS: Mapping[str, str] = {
    "_payload_id": "varchar",
    "_scope": "varchar",
    "_slot": "timestamp",
    "_fetched_at": "timestamp",
    "_snapshot_at": "timestamp",
    "_snapshot_at_basis": "varchar",
    "_load_seq": "bigint",
}
DOCUMENT_COLUMNS: Mapping[str, str] = {"_part": "integer", "document": "json"}
ROW_COLUMNS: Mapping[str, str] = {"_row_number": "bigint", "_extra": "json"}


@dataclass(frozen=True)
class RawTable:
    """One dataset's raw table.

    `document` keeps a payload (or each page of it) as one JSON value. `rows` keeps one row per record, under the source's
    names; `columns` gives their DuckDB types, and a payload that lacks one is not read.
    No row may lack a value of `required`. `scope_column` holds the coin of a row, so that rows of another scope can be counted;
    `time_column` holds the one snapshot time that all rows share.
    """

    name: str
    kind: Kind = "document"
    columns: Mapping[str, str] = field(default_factory=dict)
    scope_column: str | None = None
    time_column: str | None = None
    required: tuple[str, ...] = ()

    def definition(self) -> dict[str, str]:
        """Column names and types of the table, in order."""
        body = DOCUMENT_COLUMNS if self.kind == "document" else {**self.columns, **ROW_COLUMNS}
        return {**body, **ORIGIN_COLUMNS}


def create_raw_tables(connection: duckdb.DuckDBPyConnection, tables: Iterable[RawTable]) -> None:
    """Create the schema and any table not there yet; may be called again."""
    connection.execute("create schema if not exists raw")
    for table in tables:
        columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in table.definition().items())
        connection.execute(f"create table if not exists raw.{quoted(table.name)} ({columns})")


def quoted(identifier: str) -> str:
    """An identifier as SQL text."""
    return '"' + identifier.replace('"', '""') + '"'
