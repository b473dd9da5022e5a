"""From a vault file to raw rows, in bulk: DuckDB's readers move the rows, Python only looks at the first kilobytes.

Belongs here: reading CSV, JSON rows and documents into raw tables, and saying why a file cannot be read. Does not:
transactions and verdicts (`ledger`, `orchestration.landing`), what a document means (`orchestration.hypertracker.shapes`).
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from warehouse.bodies import COPY_CHUNK_BYTES
from warehouse.fetches import Part
from warehouse.ledger import naive
from warehouse.raw_tables import RawTable, quoted
from warehouse.readings import checked, flaw
from warehouse.readings import literal as _text
from warehouse.rejects import Rejects, csv_rejects, value_rejects
from warehouse.vault import Vault, VaultError

SNAPSHOT_MARK = 7  # where Origin's snapshot time stands among the statement's parameters
PEEK_BYTES = 1 << 16
UNPACKED_FROM_BYTES = 4 << 20
LONGEST_LINE_BYTES = 1 << 20
COMPRESSIONS = {".zst": "zstd", ".gz": "gzip"}
BOM, UTF16_BOMS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
MOST_CHARS_A_VALUE = 1 << 27
ADVICE = ("Original Line:", "Possible", "Try ", "* ")
# What DuckDB says of a file's content; of a full disk or little memory it says otherwise.
CONTENT_ERRORS = (
    duckdb.DataError, duckdb.ProgrammingError, duckdb.InvalidInputException, duckdb.IOException, duckdb.NotSupportedError
)  # fmt: skip


class LoadError(Exception):
    """A payload whose content cannot be read as its dataset's rows; the message says what was found instead. Which rows are at
    fault, `find_rejects` tells."""


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
    missing, doubled or nameless column, for a value that is not of its column's type, for none where the table requires one, and
    for rows of more than one snapshot.
    """
    is_json, present = _columns_found(vault, parts, source)
    if is_json and not present:
        return RowCounts(0, 0, None)
    _check_columns(table, source, present)
    if not is_json:
        _check_lines(vault, parts)
    with _readable(vault, parts, is_json) as (paths, compression), _threads(connection, is_json), _content_refused():
        relation = _json_relation(table, source, present) if is_json else _csv_relation(present)
        statement = _insert_statement(table, source, relation, present)
        connection.execute(statement, [[str(path) for path in paths], compression, *origin.values()])
    return replace(_count(connection, table, source, origin), columns=tuple(present))


def find_rejects(
    connection: duckdb.DuckDBPyConnection, table: RawTable, source: RowsSource, vault: Vault, parts: Sequence[Part]
) -> Rejects:
    """The rows of a payload that `insert_rows` could not read; none where no single row is at fault.

    Reads the files once more, leniently, and keeps nothing of them.
    """
    with contextlib.suppress(LoadError, VaultError, duckdb.Error, RecursionError):
        is_json, present = _columns_found(vault, parts, source)
        _check_columns(table, source, present)
        flaws = [_flaw(name, table, source, present) for name in table.columns]
        with _readable(vault, parts, is_json) as (paths, compression):
            files = [str(path) for path in paths]
            if is_json:
                relation = _json_relation(table, source, present)
                return value_rejects(connection, relation, files, compression, flaws)
            broken = csv_rejects(connection, _csv_relation(present, ", store_rejects = true"), files, compression)
            return (
                broken
                if broken.row_count
                else value_rejects(connection, _csv_relation(present), files, compression, flaws, present)
            )
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
    is_required, alias = name in table.required, source.epoch_aliases.get(name)
    if alias and name not in present:
        return f"epoch_ms({checked(quoted(alias), 'bigint', alias, is_required)})"
    return checked(quoted(name), table.columns[name], name, is_required)


def _flaw(name: str, table: RawTable, source: RowsSource, present: Sequence[str]) -> str:
    is_required, alias = name in table.required, source.epoch_aliases.get(name)
    if alias and name not in present:
        return flaw(quoted(alias), "bigint", alias, is_required)
    return flaw(quoted(name), table.columns[name], name, is_required)


def _csv_relation(present: Sequence[str], options: str = "") -> str:
    types = ", ".join(f"{_text(name)}: 'varchar'" for name in present)
    return (
        f"read_csv($1, columns = {{{types}}}, header = true, auto_detect = false, delim = ',', quote = '\"', "
        f"escape = '\"', nullstr = '', compression = $2, strict_mode = true{options})"
    )


def _json_relation(table: RawTable, source: RowsSource, present: Sequence[str]) -> str:
    kinds = {name: _json_kind(name, table, source) for name in present}
    if source.rows_at is None:
        columns = ", ".join(f"{_text(name)}: {_text(kind)}" for name, kind in kinds.items())
        return f"read_json($1, format = 'array', columns = {{{columns}}}, compression = $2)"
    pages = f"read_json($1, format = 'unstructured', columns = {{{_text(source.rows_at)}: 'json[]'}}, compression = $2)"
    values = ", ".join(_extracted(name, kind) for name, kind in kinds.items())
    keys = "json_keys(record)"
    once = f"case when len({keys}) = len(list_distinct({keys})) then true else error('a key stands twice in a record') end"
    return f"(select {values} from (select unnest({quoted(source.rows_at)}) as record from {pages}) where {once})"


def _json_kind(name: str, table: RawTable, source: RowsSource) -> str:
    """Known values come as text, whatever they are, so that none is rounded on the way."""
    is_known = name in table.columns or name in source.epoch_aliases.values()
    return "varchar" if is_known and table.columns.get(name) != "json" else "json"


def _extracted(name: str, kind: str) -> str:
    pointer = _text("/" + name.replace("~", "~0").replace("/", "~1"))
    return f"record {'->' if kind == 'json' else '->>'} {pointer} as {quoted(name)}"


def _columns_found(vault: Vault, parts: Sequence[Part], source: RowsSource) -> tuple[bool, list[str]]:
    """Whether the parts are JSON, and their columns; none for JSON lists without any record."""
    for part in parts:
        first = _peek(vault, part)
        if source.rows_at and f'"{source.rows_at}"' not in first:
            raise LoadError(f"no list under {source.rows_at}; found {first[:120]}")
        if not first.startswith(("[", "{")):
            return False, _csv_header(first)
        if keys := _json_keys(first, source.rows_at):
            return True, keys
        _check_empty(first, source.rows_at)
    return True, []


def _check_empty(first: str, rows_at: str | None) -> None:
    try:
        page = json.loads(first)
    except (ValueError, RecursionError):
        page = None
    if (page.get(rows_at) if rows_at and isinstance(page, dict) else page) != []:
        raise LoadError(f"neither CSV nor a list of records; found {first[:120]}")


def _csv_header(first: str) -> list[str]:
    return next(csv.reader(io.StringIO(first, newline="")), [])


def _json_keys(first: str, rows_at: str | None) -> list[str]:
    """The keys of the records that fit whole into the first kilobytes, in order of appearance."""
    begin = first.find("[", first.find(f'"{rows_at}"')) if rows_at else 0
    decoder, keys, at = json.JSONDecoder(), dict[str, None](), first.find("{", begin)
    while at >= 0:
        try:
            record, end = decoder.raw_decode(first, at)
        except (ValueError, RecursionError):
            break
        keys |= dict.fromkeys(record)
        at = first.find("{", end)
    return list(keys)


def _check_columns(table: RawTable, source: RowsSource, present: Sequence[str]) -> None:
    if any("\ud800" <= letter <= "\udfff" for letter in "".join(present)):
        raise LoadError("half a character (a lone surrogate) in the name of a column")
    missing = [name for name in table.columns if name not in present and source.epoch_aliases.get(name) not in present]
    # SQL does not tell names apart by case.
    alike = [name.casefold() for name in present]
    doubled = sorted({name for name in present if alike.count(name.casefold()) > 1})
    if missing:
        raise LoadError(f"columns missing: {', '.join(missing)}; found {', '.join(present)[:300]}")
    if doubled:
        raise LoadError(f"columns twice: {', '.join(doubled)}")
    if not all(present):
        raise LoadError(f"column {present.index('') + 1} has no name")


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


def _check_lines(vault: Vault, parts: Sequence[Part]) -> None:
    """DuckDB's reader leaves out a last line that is longer than its buffers, and says nothing."""
    for part in parts:
        with vault.open(part) as stream:
            while chunk := stream.read(LONGEST_LINE_BYTES):
                if len(chunk) == LONGEST_LINE_BYTES and b"\n" not in chunk and b"\r" not in chunk:
                    raise LoadError(
                        f"one line is longer than {LONGEST_LINE_BYTES:,} bytes: {chunk[:60].decode('utf-8', 'replace')}"
                    )


def _peek(vault: Vault, part: Part) -> str:
    with vault.open(part) as stream:
        begin = stream.read(PEEK_BYTES)
    if begin.startswith(UTF16_BOMS):
        raise LoadError("UTF-16 text instead of UTF-8")
    first = begin.removeprefix(BOM).decode("utf-8", errors="replace").lstrip()
    if not first:
        raise LoadError("0 bytes")
    if first.startswith("<"):
        raise LoadError(f"HTML or XML instead of data: {' '.join(first[:120].split())}")
    return first


@contextlib.contextmanager
def _readable(vault: Vault, parts: Sequence[Part], is_json: bool) -> Iterator[tuple[list[Path], str]]:
    """The files as DuckDB's readers can open them, and their compression; LZ4 and JSON after a byte order mark, which they do
    not know, are unpacked aside, and large CSV, which they read with all threads only so."""
    suffixes = {vault.path(part).suffix for part in parts}
    is_known = len(suffixes) == 1 and suffixes <= COMPRESSIONS.keys()
    is_large = not is_json and sum(part.byte_count for part in parts) > UNPACKED_FROM_BYTES
    is_marked = is_json and any(_begins_with_bom(vault, part) for part in parts)
    with tempfile.TemporaryDirectory(dir=vault.temporary) as folder:
        names = [(part, Path(folder) / str(number)) for number, part in enumerate(parts)]
        if is_known and not is_marked and not is_large:
            yield [vault.held(part, path) for part, path in names], COMPRESSIONS[suffixes.pop()]
        else:
            yield [_unpacked(vault, part, path) for part, path in names], "auto_detect" if is_json else "none"


def _unpacked(vault: Vault, part: Part, target: Path) -> Path:
    with vault.open(part) as source, target.open("wb") as file:
        file.write(source.read(len(BOM)).removeprefix(BOM))
        shutil.copyfileobj(source, file, COPY_CHUNK_BYTES)
    return target


def _begins_with_bom(vault: Vault, part: Part) -> bool:
    with vault.open(part) as stream:
        return stream.read(len(BOM)) == BOM


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
