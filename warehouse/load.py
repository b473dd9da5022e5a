"""From a vault file to raw rows, in bulk: DuckDB's readers move the rows, Python only looks at the first kilobytes.

Belongs here: inserting CSV, JSON rows and documents into raw tables, counting them, and DuckDB's words for why it cannot. Does
not: what a payload is and its columns (`payload_columns`), its files and rows as DuckDB reads them (`readable_files`,
`row_relations`), transactions and verdicts (`ledger`, `orchestration.landing`), what a document means
(`orchestration.hypertracker.shapes`).
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import duckdb

from warehouse.fetches import Part
from warehouse.ledger import naive
from warehouse.payload_columns import LoadError, RowsSource, check_columns, columns_found
from warehouse.raw_tables import RawTable, quoted
from warehouse.readable_files import check_lines, readable
from warehouse.readings import checked, flaw
from warehouse.rejects import Rejects, csv_rejects, value_rejects
from warehouse.row_relations import csv_relation, relation_of
from warehouse.vault import Vault, VaultError

SNAPSHOT_MARK = 7  # where Origin's snapshot time stands among the statement's parameters
MOST_CHARS_A_VALUE = 1 << 27
ADVICE = ("Original Line:", "Possible", "Try ", "* ")
# What DuckDB says of a file's content; of a full disk or little memory it says otherwise.
CONTENT_ERRORS = (
    duckdb.DataError, duckdb.ProgrammingError, duckdb.InvalidInputException, duckdb.IOException, duckdb.NotSupportedError
)  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """Where rows came from; written on every row."""

    payload_id: str
    scope: str
    slot: datetime
    fetched_at: datetime
    snapshot_at: datetime | None
    snapshot_at_basis: str | None
    load_seq: int

    def values(self) -> list[object]:
        """In the order of `raw_tables.ORIGIN_COLUMNS`."""
        return [
            self.payload_id, self.scope, naive(self.slot), naive(self.fetched_at), naive(self.snapshot_at),
            self.snapshot_at_basis, self.load_seq,
        ]  # fmt: skip


@dataclass(frozen=True)
class RowCounts:
    """What one row-shaped payload held: rows, rows of another scope, the one snapshot time they share (UTC), its columns."""

    row_count: int
    foreign_row_count: int
    snapshot_at: datetime | None
    columns: tuple[str, ...] = ()


def insert_documents(connection: duckdb.DuckDBPyConnection, table: RawTable, origin: Origin, documents: Sequence[str]) -> None:
    """One raw row per page of the payload. Raises `LoadError` for text that Python takes for JSON and DuckDB does not."""
    marks = ", ".join("?" for _ in range(2 + len(origin.values())))
    with _content_refused():
        for part, document in enumerate(documents):
            connection.execute(f"insert into raw.{quoted(table.name)} values ({marks})", [part, document, *origin.values()])


def insert_rows(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    source: RowsSource,
    origin: Origin,
    vault: Vault,
    parts: Sequence[Part],
) -> RowCounts:
    """Move CSV files or JSON rows into their raw table, and count them.

    Unknown columns are kept together in `_extra`. Raises `LoadError` for text that is neither CSV nor JSON rows, for a
    missing, doubled or nameless column, for a value that is not of its column's type, for none where the table requires one, and
    for rows of more than one snapshot.
    """
    is_json, present = columns_found(vault, parts, source)
    if is_json and not present:
        return RowCounts(0, 0, None)
    check_columns(table, source, present)
    if not is_json:
        check_lines(vault, parts)
    with readable(vault, parts, is_json) as (files, compression), _threads(connection, is_json), _content_refused():
        statement = _insert_statement(table, source, relation_of(is_json, table, source, present), present)
        connection.execute(statement, [files, compression, *origin.values()])
    return replace(_count(connection, table, source, origin), columns=tuple(present))


def find_rejects(
    connection: duckdb.DuckDBPyConnection, table: RawTable, source: RowsSource, vault: Vault, parts: Sequence[Part]
) -> Rejects:
    """The rows of a payload that `insert_rows` could not read; none where no single row is at fault.

    Reads the files once more, leniently, and keeps nothing of them.
    """
    with contextlib.suppress(LoadError, VaultError, duckdb.Error, RecursionError):
        is_json, present = columns_found(vault, parts, source)
        check_columns(table, source, present)
        relation = relation_of(is_json, table, source, present)
        flaws = [flaw(*_as_sent(name, table, source, present)) for name in table.columns]
        with readable(vault, parts, is_json) as (files, compression):
            if is_json:
                return value_rejects(connection, relation, files, compression, flaws)
            broken = csv_rejects(connection, csv_relation(present, ", store_rejects = true"), files, compression)
            return broken if broken.row_count else value_rejects(connection, relation, files, compression, flaws, present)
    return Rejects()


def _insert_statement(table: RawTable, source: RowsSource, relation: str, present: Sequence[str]) -> str:
    values = {name: _value(name, table, source, present) for name in table.columns}
    unknown = [name for name in present if name not in table.columns and name not in source.epoch_aliases.values()]
    pairs = ", ".join(f"{quoted(name)} := {quoted(name)}" for name in unknown)
    extra = f"to_json(struct_pack({pairs}))" if unknown else "null"
    snapshot_at = (
        f"coalesce(${SNAPSHOT_MARK}::timestamp, {values[table.time_column]})" if table.time_column else f"${SNAPSHOT_MARK}"
    )
    marks = ", ".join(snapshot_at if mark == SNAPSHOT_MARK else f"${mark}" for mark in range(3, 10))
    known = ", ".join(values.values())
    return f"insert into raw.{quoted(table.name)} select {known}, row_number() over (), {extra}, {marks} from {relation}"


def _value(name: str, table: RawTable, source: RowsSource, present: Sequence[str]) -> str:
    sent = _as_sent(name, table, source, present)
    return checked(*sent) if name in present else f"epoch_ms({checked(*sent)})"


def _as_sent(name: str, table: RawTable, source: RowsSource, present: Sequence[str]) -> tuple[str, str, str, bool]:
    """What `readings` asks of a column: its text, type and name in the payload, and whether each row must have a value."""
    is_required = name in table.required
    if name in present:
        return quoted(name), table.columns[name], name, is_required
    alias = source.epoch_aliases[name]
    return quoted(alias), "bigint", alias, is_required


@contextlib.contextmanager
def _content_refused() -> Iterator[None]:
    try:
        yield
    except CONTENT_ERRORS as error:
        if "no space" in str(error).lower():
            raise
        raise LoadError(_cause(error)) from error


def _cause(error: Exception) -> str:
    """DuckDB's words without its advice, the paths of files and the whole line at fault, which is among the rejected rows."""
    lines = [line.strip() for line in str(error).splitlines()]
    words = " ".join([line for line in lines if not line.startswith(ADVICE)][:4]).removeprefix("Invalid Input Error: ")
    return re.sub(r' in file "[^"]*"', "", words)[:400]


def _count(connection: duckdb.DuckDBPyConnection, table: RawTable, source: RowsSource, origin: Origin) -> RowCounts:
    is_mixed = table.scope_column is None or not source.is_one_scope
    foreign = "0" if is_mixed else f"count(*) filter (where {quoted(str(table.scope_column))} <> _scope)"
    time = quoted(table.time_column) if table.time_column else "null::timestamp"
    row = connection.execute(
        f"select count(*), {foreign}, min({time}), max({time}) from raw.{quoted(table.name)} where _load_seq = ?",
        [origin.load_seq],
    ).fetchone()
    assert row is not None
    if row[2] != row[3]:
        raise LoadError(f"rows of two snapshots in one payload: {row[2]} and {row[3]}")
    return RowCounts(row[0], row[1], row[2].replace(tzinfo=UTC) if row[2] else None)


@contextlib.contextmanager
def _threads(connection: duckdb.DuckDBPyConnection, is_json: bool) -> Iterator[None]:
    """DuckDB reads a list of JSON records in one thread, and another only waits for it, as busily as if it worked."""
    if not is_json:
        yield
        return
    apart = connection.cursor()  # a failed transaction takes no settings
    before = apart.execute("select current_setting('threads')").fetchone()
    apart.execute("set threads = 1")
    try:
        yield
    finally:
        apart.execute(f"set threads = {before[0] if before else 1}")
        apart.close()


def as_json_text(text: str) -> str:
    """JSON as it is; a CSV table as the same table in JSON, `columns` and `data`, every value as text. Raises `LoadError`."""
    if text.lstrip()[:1] in ("[", "{", '"') or "," not in text.partition("\n")[0]:
        return text
    csv.field_size_limit(MOST_CHARS_A_VALUE)
    try:
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    except csv.Error as error:
        raise LoadError(f"no CSV: {error}") from None
    return json.dumps({"columns": header, "data": [row for row in rows if row]}, ensure_ascii=False)
