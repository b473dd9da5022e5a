"""Rows of a payload that cannot be read: which, in which column, and why.

Belongs here: what a rejected row is, and finding such rows by SQL over a file's relation. Does not: making relations of
files (`row_relations`), what counts as a value (`readings`), keeping what was found (`quarantine`).

A `line` counts records from 1: in a CSV file the header is the first, in a JSON list the first object is. A record over several
lines of text is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from warehouse.raw_tables import quoted

MOST_ROWS = 1_000  # of one payload; what lies beyond is counted, not kept
RAW_CHARS = 500
HEADER_LINES = 1
CSV_REJECT_TABLES = ("reject_errors", "reject_scans")  # DuckDB's names; temporary, and added to by every scan


@dataclass(frozen=True)
class Reject:
    """One value that cannot be read. `column` is empty where the row as a whole cannot; `raw_text` is cut to `RAW_CHARS`."""

    line: int
    column: str
    cause: str
    raw_text: str


@dataclass(frozen=True)
class Rejects:
    """What was found of one payload: the first `MOST_ROWS` of them, and how many rows they are of in all."""

    found: tuple[Reject, ...] = ()
    row_count: int = 0


def csv_rejects(connection: duckdb.DuckDBPyConnection, relation: str, files: list[str], compression: str) -> Rejects:
    """Read CSV files once more; `relation` stores its rejects. Raises `duckdb.Error` where DuckDB cannot even do that."""
    for table in CSV_REJECT_TABLES:
        connection.execute(f"drop table if exists {table}")
    connection.execute(f"select count(columns(*)) from {relation}", [files, compression]).fetchall()
    rows = connection.execute(
        f"""select line, column_name, error_message || ' (' || lower(error_type) || ')', csv_line from reject_errors
            order by file_id, line, column_idx limit {MOST_ROWS}"""
    ).fetchall()
    count = connection.execute("select count(distinct (file_id, line)) from reject_errors").fetchone()
    return _rejects(rows, count)


def value_rejects(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    files: list[str],
    compression: str,
    flaws: Sequence[str],
    csv_columns: Sequence[str] = (),
) -> Rejects:
    """Read rows once more, as text, and find those with a flaw (`readings.flaw`, one of each column). A file with `csv_columns`
    begins with its header, and its rows are shown as CSV."""
    before = HEADER_LINES if csv_columns else 0
    cells = ", ".join(f"coalesce({quoted(name)}, '')" for name in csv_columns)
    shown = f"concat_ws(',', {cells})" if csv_columns else "to_json(records)::varchar"
    connection.execute(
        f"""create or replace temp table value_rejects as
            with records as (select row_number() over () + {before} as line, * from {relation}),
            flaws as (select line, unnest([{", ".join(flaws)}]) as flaw, {shown} as raw_text from records)
            select line, flaw.name as name, flaw.cause as cause, raw_text from flaws where flaw is not null""",
        [files, compression],
    )
    rows = connection.execute(f"select * from value_rejects order by line limit {MOST_ROWS}").fetchall()
    count = connection.execute("select count(distinct line) from value_rejects").fetchone()
    connection.execute("drop table value_rejects")
    return _rejects(rows, count)


def _rejects(rows: Sequence[tuple[int, str | None, str, str | None]], count: tuple[int, ...] | None) -> Rejects:
    found = tuple(Reject(line, column or "", cause, (raw or "")[:RAW_CHARS]) for line, column, cause, raw in rows)
    return Rejects(found, count[0] if count else 0)
