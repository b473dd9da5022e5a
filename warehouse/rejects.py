"""Rows of a payload that cannot be read: which, in which column, and why.

Belongs here: what a rejected row is, and finding such rows by SQL over a file's relation or a raw table. Does not: making
relations of files (`load`), keeping what was found (`quarantine`).

A `line` counts records from 1: in a CSV file the header is the first, in a JSON list the first object is. A record over several
lines of text is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from warehouse.raw_tables import RawTable, quoted

MOST_ROWS = 1_000  # of one payload; what lies beyond is counted, not kept
RAW_CHARS = 500
HEADER_LINES = 1
CSV_REJECT_TABLES = ("reject_errors", "reject_scans")  # DuckDB's names; temporary, and added to by every scan
NUMBERS_WITH_INFINITY = ("double", "float")


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


def json_rejects(
    connection: duckdb.DuckDBPyConnection, relation: str, files: list[str], compression: str, types: Mapping[str, str]
) -> Rejects:
    """Read JSON rows once more, of a `relation` whose columns are all JSON; `types` are what they should be."""
    flaws = ", ".join(_flaw(name, kind) for name, kind in types.items() if kind not in ("json", "varchar"))
    connection.execute(
        f"""create or replace temp table json_rejects as
            with records as (select row_number() over () as line, * from {relation}),
            flaws as (select line, unnest([{flaws}]) as flaw, to_json(records)::varchar as raw_text from records)
            select line, flaw.name as name, flaw.cause as cause, raw_text from flaws where flaw is not null""",
        [files, compression],
    )
    rows = connection.execute(f"select * from json_rejects order by line limit {MOST_ROWS}").fetchall()
    count = connection.execute("select count(distinct line) from json_rejects").fetchone()
    connection.execute("drop table json_rejects")
    return _rejects(rows, count)


def infinite_rejects(
    connection: duckdb.DuckDBPyConnection, table: RawTable, load_seq: int, columns: Sequence[str], is_json: bool
) -> Rejects:
    """Rows of one load in raw whose numbers are not finite, in these columns."""
    known = ", ".join(map(quoted, table.columns))
    before = 0 if is_json else HEADER_LINES
    selects = (
        f"select _row_number + {before} as line, {_text(name)} as name, 'not a finite number: ' || {quoted(name)}, "
        f"concat_ws(',', {known}) from raw.{quoted(table.name)} where _load_seq = $1 and not isfinite({quoted(name)})"
        for name in columns
    )
    union = " union all ".join(selects)
    rows = connection.execute(f"{union} order by line, name limit {MOST_ROWS}", [load_seq]).fetchall()
    count = connection.execute(f"select count(distinct line) from ({union})", [load_seq]).fetchone()
    return _rejects(rows, count)


def _flaw(name: str, kind: str) -> str:
    text = f"({quoted(name)} ->> '$')"
    value = f"try_cast({text} as {kind})"
    is_bad = f"{value} is null or not isfinite({value})" if kind in NUMBERS_WITH_INFINITY else f"{value} is null"
    cause = f"'no {kind}: ' || {text}[:100]"
    return f"case when {text} is not null and ({is_bad}) then {{'name': {_text(name)}, 'cause': {cause}}} end"


def _rejects(rows: Sequence[tuple[int, str | None, str, str | None]], count: tuple[int, ...] | None) -> Rejects:
    found = tuple(Reject(line, column or "", cause, (raw or "")[:RAW_CHARS]) for line, column, cause, raw in rows)
    return Rejects(found, count[0] if count else 0)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
