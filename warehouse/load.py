"""From a vault file to raw rows, in bulk: DuckDB's readers move the rows, Python only looks at the first kilobytes.

Belongs here: reading CSV, JSON rows and documents into raw tables, and saying why a file cannot be read. Does not:
transactions and verdicts (`ledger`, `orchestration.landing`), what a document means (`orchestration.hypertracker.shapes`).
"""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from warehouse.ledger import naive
from warehouse.raw_tables import RawTable, quoted
from warehouse.vault import COPY_CHUNK_BYTES, Part, Vault

SNAPSHOT_MARK = 7  # where Origin's snapshot time stands among the statement's parameters
PEEK_BYTES = 1 << 16
COMPRESSIONS = {".zst": "zstd", ".gz": "gzip"}


class LoadError(Exception):
    """A payload whose content cannot be read as its dataset's rows; the message says what was found instead."""


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
    """What one row-shaped payload held: rows, rows of another scope, and the one snapshot time they share (UTC)."""

    row_count: int
    foreign_row_count: int
    snapshot_at: datetime | None


def insert_documents(connection: duckdb.DuckDBPyConnection, table: RawTable, origin: Origin, documents: Sequence[str]) -> None:
    """One raw row per page of the payload."""
    marks = ", ".join("?" for _ in range(2 + len(origin.values())))
    for part, document in enumerate(documents):
        connection.execute(f"insert into raw.{quoted(table.name)} values ({marks})", [part, document, *origin.values()])


def insert_rows(connection: duckdb.DuckDBPyConnection, table: RawTable, origin: Origin, vault: Vault, part: Part) -> RowCounts:
    """Move a CSV file or JSON array into its raw table, and count it.

    Unknown columns are kept together in `_extra`. Raises `LoadError` for text that is neither CSV nor a JSON array, for a
    missing, doubled or mistyped column, for numbers that are not finite, and for rows of more than one snapshot.
    """
    first = _peek(vault, part)
    with _readable(vault, part) as (path, compression):
        if first.startswith(("[", "{")):
            source, present = _json_source(table, first), _json_keys(first)
        else:
            source, present = _csv_source(table, first), _csv_header(first)
        _check_columns(table, present)
        try:
            connection.execute(_insert_statement(table, source, present), [str(path), compression, *origin.values()])
        except (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.IOException) as error:
            raise LoadError(f"{_first_lines(error)}") from error
    _check_finite(connection, table, origin.load_seq)
    return _count(connection, table, origin)


def _insert_statement(table: RawTable, source: str, present: Sequence[str]) -> str:
    known = ", ".join(quoted(name) for name in table.columns)
    unknown = [name for name in present if name not in table.columns]
    pairs = ", ".join(f"{quoted(name)} := {quoted(name)}" for name in unknown)
    extra = f"to_json(struct_pack({pairs}))" if unknown else "null"
    snapshot_at = (
        f"coalesce(${SNAPSHOT_MARK}::timestamp, {quoted(table.time_column)})" if table.time_column else f"${SNAPSHOT_MARK}"
    )
    marks = ", ".join(snapshot_at if mark == SNAPSHOT_MARK else f"${mark}" for mark in range(3, 10))
    return f"insert into raw.{quoted(table.name)} select {known}, row_number() over (), {extra}, {marks} from {source}"


def _csv_source(table: RawTable, first: str) -> str:
    types = ", ".join(f"{_text(name)}: {_text(table.columns.get(name, 'varchar'))}" for name in _csv_header(first))
    return (
        f"read_csv($1, columns = {{{types}}}, header = true, auto_detect = false, delim = ',', quote = '\"', "
        "escape = '\"', nullstr = '', compression = $2, strict_mode = true)"
    )


def _json_source(table: RawTable, first: str) -> str:
    types = ", ".join(f"{_text(name)}: {_text(table.columns.get(name, 'json'))}" for name in _json_keys(first))
    return f"read_json($1, format = 'array', columns = {{{types}}}, compression = $2)"


def _csv_header(first: str) -> list[str]:
    return next(csv.reader(first.lstrip("\ufeff").splitlines()[:1]), [])


def _json_keys(first: str) -> list[str]:
    """The keys of the records that fit whole into the first kilobytes, in order of appearance."""
    decoder, keys, at = json.JSONDecoder(), dict[str, None](), first.find("{")
    while at >= 0:
        try:
            record, end = decoder.raw_decode(first, at)
        except ValueError:
            break
        keys |= dict.fromkeys(record)
        at = first.find("{", end)
    return list(keys)


def _check_columns(table: RawTable, present: Sequence[str]) -> None:
    missing = [name for name in table.columns if name not in present]
    doubled = sorted({name for name in present if present.count(name) > 1})
    if missing:
        raise LoadError(f"columns missing: {', '.join(missing)}; found {', '.join(present)[:300]}")
    if doubled:
        raise LoadError(f"columns twice: {', '.join(doubled)}")


def _check_finite(connection: duckdb.DuckDBPyConnection, table: RawTable, load_seq: int) -> None:
    doubles = [name for name, kind in table.columns.items() if kind == "double"]
    counts = ", ".join(f"count(*) filter (where not isfinite({quoted(name)}))" for name in doubles)
    row = connection.execute(f"select {counts} from raw.{quoted(table.name)} where _load_seq = ?", [load_seq]).fetchone()
    bad = [name for name, count in zip(doubles, row or (), strict=True) if count]
    if bad:
        raise LoadError(f"not a finite number in: {', '.join(bad)}")


def _count(connection: duckdb.DuckDBPyConnection, table: RawTable, origin: Origin) -> RowCounts:
    foreign = f"count(*) filter (where {quoted(table.scope_column)} <> _scope)" if table.scope_column else "0"
    time = quoted(table.time_column) if table.time_column else "null::timestamp"
    row = connection.execute(
        f"select count(*), {foreign}, min({time}), max({time}) from raw.{quoted(table.name)} where _load_seq = ?",
        [origin.load_seq],
    ).fetchone()
    assert row is not None
    if row[2] != row[3]:
        raise LoadError(f"rows of two snapshots in one payload: {row[2]} and {row[3]}")
    return RowCounts(row[0], row[1], row[2].replace(tzinfo=UTC) if row[2] else None)


def _peek(vault: Vault, part: Part) -> str:
    with vault.open(part) as stream:
        first = stream.read(PEEK_BYTES).decode("utf-8", errors="replace").lstrip()
    if not first:
        raise LoadError("0 bytes")
    if first.startswith("<"):
        raise LoadError(f"HTML or XML instead of data: {' '.join(first[:120].split())}")
    return first


@contextlib.contextmanager
def _readable(vault: Vault, part: Part) -> Iterator[tuple[Path, str]]:
    """The file as DuckDB's readers can open it, and its compression; LZ4, which they do not know, is unpacked aside."""
    path = vault.path(part)
    if path.suffix in COMPRESSIONS:
        yield path, COMPRESSIONS[path.suffix]
        return
    unpacked = vault.temporary / f"{path.name}.unpacked"
    try:
        with vault.open(part) as source, unpacked.open("wb") as target:
            shutil.copyfileobj(source, target, COPY_CHUNK_BYTES)
        yield unpacked, "none"
    finally:
        unpacked.unlink(missing_ok=True)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _first_lines(error: Exception) -> str:
    return " ".join(line.strip() for line in str(error).strip().splitlines()[:3])[:400]
