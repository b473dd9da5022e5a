"""How far published tables were brought, noted beside them.

Belongs here: what is noted of a table, and how far the working file is. Does not: bringing a table there (`changes`), which lake
or file notes what (`lake_notes`, `edition`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from warehouse.table_shapes import Shape, count


@dataclass(frozen=True)
class Progress:
    """How far a table was brought: up to which sequence, with how many rows, with which digest where no sequence tells."""

    sequence: int = 0
    row_count: int = 0
    digest: str = ""


def reached(connection: duckdb.DuckDBPyConnection, shape: Shape) -> Progress:
    """How far the working file is."""
    told = "" if shape.sequence else _digest(connection, shape)
    return Progress(_newest_sequence(connection, shape), count(connection, shape.here), told)


def make_progress(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Create the table of notes, if it is not there."""
    connection.execute(f"create table if not exists {table} (mart varchar, sequence bigint, row_count bigint, digest varchar)")


def read_progress(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, Progress]:
    """What is noted, by table."""
    rows = connection.execute(f"select mart, sequence, row_count, digest from {table}").fetchall()
    return {mart: Progress(*found) for mart, *found in rows}


def note_progress(connection: duckdb.DuckDBPyConnection, table: str, now: Mapping[str, Progress]) -> None:
    """Note this in the place of all that was noted; of one table at least."""
    rows = [value for name, at in now.items() for value in (name, at.sequence, at.row_count, at.digest)]
    connection.execute(f"delete from {table}")
    connection.execute(f"insert into {table} values {', '.join(['(?, ?, ?, ?)'] * len(now))}", rows)


def _digest(connection: duckdb.DuckDBPyConnection, shape: Shape) -> str:
    """Changes when any row of the mart does."""
    row = connection.execute(
        f"select count(*), coalesce(sum(hash(line)::hugeint), 0) from (select {shape.listed} from {shape.here}) as line"
    ).fetchone()
    return "/".join(map(str, row or ()))


def _newest_sequence(connection: duckdb.DuckDBPyConnection, shape: Shape) -> int:
    row = (
        connection.execute(f"select coalesce(max({shape.sequence}), 0) from {shape.here}").fetchone() if shape.sequence else None
    )
    return int(row[0]) if row else 0
