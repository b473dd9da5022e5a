"""From a vault file to raw rows, in bulk: DuckDB's readers move the rows, Python only looks at the first kilobytes.

Belongs here: reading CSV, JSON rows and documents into raw tables, and saying why a file cannot be read. Does not:
transactions and verdicts (`ledger`, `orchestration.landing`), what a document means (`orchestration.hypertracker.shapes`).
"""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from warehouse.ledger import naive
from warehouse.raw_tables import RawTable, quoted
from warehouse.rejects import Rejects, csv_rejects, infinite_rejects, json_rejects
from warehouse.vault import COPY_CHUNK_BYTES, Part, Vault, VaultError

SNAPSHOT_MARK = 7  # where Origin's snapshot time stands among the statement's parameters
PEEK_BYTES = 1 << 16
COMPRESSIONS = {".zst": "zstd", ".gz": "gzip"}


class LoadError(Exception):
    """A payload whose content cannot be read as its dataset's rows; the message says what was found instead.

    `rejects` are the rows at fault, where they were met while reading; of others `find_rejects` tells.
    """

    def __init__(self, says: str, rejects: Rejects | None = None) -> None:
        super().__init__(says)
        self.rejects = rejects


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
    """One raw row per page of the payload."""
    marks = ", ".join("?" for _ in range(2 + len(origin.values())))
    for part, document in enumerate(documents):
        connection.execute(f"insert into raw.{quoted(table.name)} values ({marks})", [part, document, *origin.values()])


@dataclass(frozen=True)
class RowsSource:
    """How a payload holds its rows: as the payload itself, or as the list under `rows_at` of each of its pages. A column may
    come as epoch milliseconds under its name in `epoch_aliases`; `is_one_scope` means that other scopes' rows are foreign."""

    rows_at: str | None = None
    epoch_aliases: Mapping[str, str] = field(default_factory=dict)
    is_one_scope: bool = True


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
    missing, doubled or mistyped column, for numbers that are not finite, and for rows of more than one snapshot.
    """
    first = _peek(vault, parts[0])
    is_json = first.startswith(("[", "{"))
    if source.rows_at and f'"{source.rows_at}"' not in first:
        raise LoadError(f"no list under {source.rows_at}; found {first[:120]}")
    present = _json_keys(first, source.rows_at) if is_json else _csv_header(first)
    if is_json and not present and "{" not in first.lstrip("{"):
        return RowCounts(0, 0, None)
    _check_columns(table, source, present)
    with _readable(vault, parts) as (paths, compression):
        relation = _json_relation(table, source, present) if is_json else _csv_relation(table, present)
        statement = _insert_statement(table, source, relation, present)
        try:
            connection.execute(statement, [[str(path) for path in paths], compression, *origin.values()])
        except (duckdb.DataError, duckdb.InvalidInputException, duckdb.IOException) as error:
            if "no space" in str(error).lower():
                raise
            raise LoadError(f"{_first_lines(error)}") from error
    _check_finite(connection, table, origin.load_seq, is_json)
    return replace(_count(connection, table, source, origin), columns=tuple(present))


def find_rejects(
    connection: duckdb.DuckDBPyConnection, table: RawTable, source: RowsSource, vault: Vault, parts: Sequence[Part]
) -> Rejects:
    """The rows of a payload that `insert_rows` could not read; none where no single row is at fault.

    Reads the files once more, leniently, and keeps nothing of them.
    """
    with contextlib.suppress(LoadError, VaultError, duckdb.Error, RecursionError):
        first = _peek(vault, parts[0])
        is_json = first.startswith(("[", "{"))
        present = _json_keys(first, source.rows_at) if is_json else _csv_header(first)
        _check_columns(table, source, present)
        with _readable(vault, parts) as (paths, compression):
            files = [str(path) for path in paths]
            if not is_json:
                return csv_rejects(connection, _csv_relation(table, present, ", store_rejects = true"), files, compression)
            relation = _json_relation(replace(table, columns={}), replace(source, epoch_aliases={}), present)
            types = {name: _json_type(name, table, source) for name in present}
            return json_rejects(connection, relation, files, compression, types)
    return Rejects()


def _insert_statement(table: RawTable, source: RowsSource, relation: str, present: Sequence[str]) -> str:
    values = {name: _value(name, source, present) for name in table.columns}
    unknown = [name for name in present if name not in table.columns and name not in source.epoch_aliases.values()]
    pairs = ", ".join(f"{quoted(name)} := {quoted(name)}" for name in unknown)
    extra = f"to_json(struct_pack({pairs}))" if unknown else "null"
    snapshot_at = (
        f"coalesce(${SNAPSHOT_MARK}::timestamp, {values[table.time_column]})" if table.time_column else f"${SNAPSHOT_MARK}"
    )
    marks = ", ".join(snapshot_at if mark == SNAPSHOT_MARK else f"${mark}" for mark in range(3, 10))
    known = ", ".join(values.values())
    return f"insert into raw.{quoted(table.name)} select {known}, row_number() over (), {extra}, {marks} from {relation}"


def _value(name: str, source: RowsSource, present: Sequence[str]) -> str:
    alias = source.epoch_aliases.get(name)
    return f"epoch_ms({quoted(alias)})" if alias and name not in present else quoted(name)


def _csv_relation(table: RawTable, present: Sequence[str], options: str = "") -> str:
    types = ", ".join(f"{_text(name)}: {_text(table.columns.get(name, 'varchar'))}" for name in present)
    return (
        f"read_csv($1, columns = {{{types}}}, header = true, auto_detect = false, delim = ',', quote = '\"', "
        f"escape = '\"', nullstr = '', compression = $2, strict_mode = true{options})"
    )


def _json_relation(table: RawTable, source: RowsSource, present: Sequence[str]) -> str:
    types = {name: _json_type(name, table, source) for name in present}
    if source.rows_at is None:
        columns = ", ".join(f"{_text(name)}: {_text(kind)}" for name, kind in types.items())
        return f"read_json($1, format = 'array', columns = {{{columns}}}, compression = $2)"
    pages = f"read_json($1, format = 'unstructured', columns = {{{_text(source.rows_at)}: 'json[]'}}, compression = $2)"
    values = ", ".join(_extracted(name, kind) for name, kind in types.items())
    return f"(select {values} from (select unnest({quoted(source.rows_at)}) as record from {pages}))"


def _json_type(name: str, table: RawTable, source: RowsSource) -> str:
    return "bigint" if name in source.epoch_aliases.values() else table.columns.get(name, "json")


def _extracted(name: str, kind: str) -> str:
    path = _text(f'$."{name}"')
    value = f"record -> {path}" if kind == "json" else f"cast(record ->> {path} as {kind})"
    return f"{value} as {quoted(name)}"


def _csv_header(first: str) -> list[str]:
    return next(csv.reader(first.lstrip("\ufeff").splitlines()[:1]), [])


def _json_keys(first: str, rows_at: str | None) -> list[str]:
    """The keys of the records that fit whole into the first kilobytes, in order of appearance."""
    begin = first.find("[", first.find(f'"{rows_at}"')) if rows_at else 0
    decoder, keys, at = json.JSONDecoder(), dict[str, None](), first.find("{", begin)
    while at >= 0:
        try:
            record, end = decoder.raw_decode(first, at)
        except ValueError:
            break
        keys |= dict.fromkeys(record)
        at = first.find("{", end)
    return list(keys)


def _check_columns(table: RawTable, source: RowsSource, present: Sequence[str]) -> None:
    missing = [name for name in table.columns if name not in present and source.epoch_aliases.get(name) not in present]
    doubled = sorted({name for name in present if present.count(name) > 1})
    if missing:
        raise LoadError(f"columns missing: {', '.join(missing)}; found {', '.join(present)[:300]}")
    if doubled:
        raise LoadError(f"columns twice: {', '.join(doubled)}")


def _check_finite(connection: duckdb.DuckDBPyConnection, table: RawTable, load_seq: int, is_json: bool) -> None:
    doubles = [name for name, kind in table.columns.items() if kind == "double"]
    counts = ", ".join(f"count(*) filter (where not isfinite({quoted(name)}))" for name in doubles)
    row = connection.execute(f"select {counts} from raw.{quoted(table.name)} where _load_seq = ?", [load_seq]).fetchone()
    bad = [name for name, count in zip(doubles, row or (), strict=True) if count]
    if bad:
        rejects = infinite_rejects(connection, table, load_seq, bad, is_json)
        raise LoadError(f"not a finite number in: {', '.join(bad)}", rejects)


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


def _peek(vault: Vault, part: Part) -> str:
    with vault.open(part) as stream:
        first = stream.read(PEEK_BYTES).decode("utf-8", errors="replace").lstrip()
    if not first:
        raise LoadError("0 bytes")
    if first.startswith("<"):
        raise LoadError(f"HTML or XML instead of data: {' '.join(first[:120].split())}")
    return first


@contextlib.contextmanager
def _readable(vault: Vault, parts: Sequence[Part]) -> Iterator[tuple[list[Path], str]]:
    """The files as DuckDB's readers can open them, and their compression; LZ4, which they do not know, is unpacked aside."""
    paths = [vault.path(part) for part in parts]
    if all(path.suffix == paths[0].suffix and path.suffix in COMPRESSIONS for path in paths):
        yield paths, COMPRESSIONS[paths[0].suffix]
        return
    with tempfile.TemporaryDirectory(dir=vault.temporary) as folder:
        yield [_unpacked(vault, part, Path(folder) / str(number)) for number, part in enumerate(parts)], "auto_detect"


def _unpacked(vault: Vault, part: Part, target: Path) -> Path:
    with vault.open(part) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, COPY_CHUNK_BYTES)
    return target


def as_json_text(text: str) -> str:
    """JSON as it is; a CSV table as the same table in JSON, `columns` and `data`, every value as text."""
    if text.lstrip()[:1] in ("[", "{", '"') or "," not in text.partition("\n")[0]:
        return text
    header, *rows = csv.reader(text.splitlines())
    return json.dumps({"columns": header, "data": rows}, ensure_ascii=False)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _first_lines(error: Exception) -> str:
    return " ".join(line.strip() for line in str(error).strip().splitlines()[:3])[:400]
