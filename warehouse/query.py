"""Reading what was published, the file or the lake: SQL typed by a person, which can read the marts and nothing else.

Belongs here: opening what was published, confining what is typed, answers as frames, rows or a Parquet file. Does not: where the
file is (`finding`), what it holds (`catalog`), questions without SQL (`frames`).
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from warehouse.connection import WarehouseError
from warehouse.finding import find_published
from warehouse.lake import NAME, Lake, LakeError, attach, first_line, literal
from warehouse.lake_locks import is_made
from warehouse.names import nearest

if TYPE_CHECKING:
    import pandas as pd

# The published file, the lake, or None for the file that is found.
Source = Path | str | Lake | None
PUBLISHED = "published"
ROWS_AT_ONCE = 10_000
HAS_MARTS = f"select 1 from duckdb_schemas() where (database_name, schema_name) = ({literal(NAME)}, 'marts')"
UNKNOWN_COLUMN = "Referenced column"
UNREADABLE_MEND = "name another by HTW_PUBLISHED, or publish anew with `htw rebuild`"
# These end the process where files are out of reach, follow addresses in memory, or run SQL that this pattern cannot see, here or
# in the database of a catalog.
UNSAFE = re.compile(
    r"(?i)\b(enable_logging|enable_profiling|arrow_scan|arrow_scan_dumb|pandas_scan|python_map_function|"
    r"json_execute_serialized_sql|query|postgres_\w+)\b(?=\W*\()"
)


# The lake's files are within reach where the lake is read: what changes them is no reading.
CHANGES_THE_LAKE = re.compile(
    r"(?i)\b(?:ducklake_)?(cleanup_old_files|delete_orphaned_files|expire_snapshots|merge_adjacent_files|rewrite_data_files|"
    r"flush_inlined_data|add_data_files|set_option|set_commit_message)\b(?=\W*\()"
)
# DuckDB leaves a file's own log within reach: COPY could put one beside the published file, where readers would replay it.
REACHES_FILES = ("COPY", "COPY_DATABASE", "EXPORT", "PREPARE", "EXECUTE", "ATTACH")
EXPLAINS = re.compile(r"(?is)^\s*explain(\s+analyze)?\s*(\([^()]*\))?\s+")


def connect_published(source: Source = None, at: datetime | None = None) -> duckdb.DuckDBPyConnection:
    """A read-only connection to what is published now, `marts` on the search path, times in UTC; open as many as you like.

    `source` is the published file, of which this is the newest version, or the lake; without it, the file that `find_published`
    finds. `at` shows the lake as it was then. The connection cannot change a row, load extensions or read other files than those
    of its source. Over the lake COPY reaches the lake's own files, where the account may write them: `query` refuses it, a bare
    connection does not. Raises `WarehouseError` when nothing was published yet.
    """
    return _confined(open_published(source, at))


def open_published(source: Source = None, at: datetime | None = None) -> duckdb.DuckDBPyConnection:
    """The same, not confined: for statements that nobody typed."""
    if at is not None and not isinstance(source, Lake):
        raise WarehouseError("only the lake can be asked for as it was", 'give it as the source: `Lake.below("data")`')
    connection = _open_lake(source, at) if isinstance(source, Lake) else _open_file(find_published(source))
    # What does not fit into memory goes there while it is sorted; otherwise into the folder one happens to be in.
    connection.execute(f"set temp_directory = {literal(str(Path(tempfile.gettempdir()) / f'htw-{os.getpid()}'))}")
    return connection


def _open_file(file: Path) -> duckdb.DuckDBPyConnection:
    """Attached to an instance of its own: DuckDB shares one among all connections of a process to a file, settings and all."""
    if not file.exists():
        raise WarehouseError(f"nothing is published at {file} yet; run `htw poll` (or `htw demo`)")
    connection = _connect()
    try:
        connection.execute(f"attach {literal(str(file.resolve()))} as {PUBLISHED} (read_only)")
        connection.execute(f"set search_path = '{PUBLISHED}.marts,{PUBLISHED}.main'")
    except duckdb.Error as error:
        connection.close()
        raise WarehouseError(f"{file} is no published file that can be read ({first_line(error)})", UNREADABLE_MEND) from error
    return connection


def _connect() -> duckdb.DuckDBPyConnection:
    """DuckDB would draw the progress of slow questions among what a script prints."""
    connection = duckdb.connect()
    connection.execute("set enable_progress_bar = false")
    return connection


def _open_lake(lake: Lake, at: datetime | None) -> duckdb.DuckDBPyConnection:
    if not is_made(lake):
        raise WarehouseError(f"there is no lake at {lake.catalog} yet; run `htw poll` (or `htw demo`)")
    connection = _connect()
    try:
        attach(connection, lake, read_only=True, at=at)
        if not connection.execute(HAS_MARTS).fetchone():
            connection.close()
            raise WarehouseError(f"nothing is published in the lake at {lake.catalog} yet; run `htw poll` (or `htw demo`)")
        connection.execute(f"set search_path = '{NAME}.marts,{NAME}.main'")
    except duckdb.Error as error:
        connection.close()
        raise LakeError(f"the lake at {lake.catalog} cannot be read ({first_line(error)})", "run `htw lake status`") from error
    connection.execute(f"set allowed_directories = [{literal(f'{lake.data}/')}]")
    if isinstance(lake.catalog, Path):
        # SQLite keeps its log beside the catalog.
        _allow(connection, *(f"{lake.catalog}{end}" for end in ("", "-wal", "-shm")))
    return connection


def _confined(connection: duckdb.DuckDBPyConnection, target: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Out of reach of other files from now on, but for the one that the result goes to."""
    connection.execute("set timezone = 'UTC'")
    if target is not None:
        _allow(connection, str(target))
    connection.execute("set enable_external_access = false")
    connection.execute("set python_enable_replacements = false")
    connection.execute("set lock_configuration = true")
    return connection


def _allow(connection: duckdb.DuckDBPyConnection, *paths: str) -> None:
    """Paths that stay within reach, beside those that do already."""
    row = connection.execute("select current_setting('allowed_paths')").fetchone()
    connection.execute(f"set allowed_paths = [{', '.join(map(literal, [*(row[0] if row else ()), *paths]))}]")


def query(source: Source, sql: str, at: datetime | None = None) -> pd.DataFrame:
    """The result of one statement over the published marts. Raises `WarehouseError` with DuckDB's words."""
    _refuse_unsafe(source, sql)
    with connect_published(source, at) as connection, _in_words(connection):
        relation = connection.sql(sql)
        return _no_rows() if relation is None else relation.df()


@dataclass(frozen=True)
class Answer:
    """The result of a statement, read as it comes: its columns with DuckDB's types, and its rows, which can be read once."""

    columns: Mapping[str, str]
    rows: Iterator[tuple[Any, ...]]


@contextlib.contextmanager
def answered(source: Source, sql: str, at: datetime | None = None) -> Iterator[Answer]:
    """The same without ever holding all of it: rows are fetched as they are read, whatever their number."""
    _refuse_unsafe(source, sql)
    with connect_published(source, at) as connection:
        with _in_words(connection):
            # One name twice is two columns all the same.
            found = connection.execute(sql).description or []
        names = _told_apart([column[0] for column in found])
        yield Answer(dict(zip(names, (str(column[1]) for column in found), strict=True)), _rows(connection if found else None))


def write_parquet(source: Source, sql: str, target: Path, at: datetime | None = None) -> int:
    """Write the result to a Parquet file, DuckDB's types and all, as one step; the number of rows. Memory stays flat."""
    _refuse_unsafe(source, sql)
    target = target.absolute()
    with written_aside(target) as aside, _confined(open_published(source, at), aside) as connection, _in_words(connection):
        if (relation := connection.sql(sql)) is None:
            raise WarehouseError("the statement has no result that could be written")
        relation.write_parquet(str(aside), compression="zstd")
    with duckdb.connect() as reader:
        row = reader.execute("select sum(num_rows) from parquet_file_metadata($1)", [str(target)]).fetchone()
    return int(row[0] or 0) if row else 0


@contextlib.contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """A path to write to; what is there at the end takes the target's place, after a failure nothing is left of it.

    Raises `WarehouseError` where the target cannot be written.
    """
    aside = target.with_name(f".{target.name}.unfinished")
    if target.is_dir() or not target.parent.is_dir():
        what = "is a folder" if target.is_dir() else "is in no folder that exists"
        raise WarehouseError(f"{target} {what}", "name a file in a folder that exists")
    try:
        aside.unlink(missing_ok=True)
        yield aside
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(target)
    except OSError as error:
        raise WarehouseError(f"{target} cannot be written ({error.strerror})", "name another file or folder") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


@contextlib.contextmanager
def _in_words(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    try:
        yield
    except duckdb.CatalogException as error:
        raise WarehouseError(_no_such_table(connection, str(error))) from error
    except duckdb.Error as error:
        mend = "\n`htw describe TABLE` lists its columns" if UNKNOWN_COLUMN in str(error) else ""
        raise WarehouseError(f"{str(error).strip()}{mend}") from error


def _no_such_table(connection: duckdb.DuckDBPyConnection, says: str) -> str:
    """DuckDB's words, with the nearest of the published tables instead of the nearest of its own."""
    found = re.search(r"(Table with name (\S+) does not exist!)(?:\nDid you mean .*)?", says)
    if found is None:
        return says.strip()
    rows = connection.execute("select table_name from information_schema.tables where table_schema = 'marts'").fetchall()
    near = nearest(found[2], [row[0] for row in rows])
    return says.replace(found[0], f"{found[1].removesuffix('!')}{near}; `htw tables` lists all").strip()


def _rows(connection: duckdb.DuckDBPyConnection | None) -> Iterator[tuple[Any, ...]]:
    while connection is not None:
        with _in_words(connection):
            rows = connection.fetchmany(ROWS_AT_ONCE)
        if not rows:
            return
        yield from rows


def _no_rows() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame()


def _told_apart(names: Sequence[str]) -> list[str]:
    return [name if name not in names[:place] else f"{name}_{names[:place].count(name)}" for place, name in enumerate(names)]


def _refuse_unsafe(source: Source, sql: str) -> None:
    """Raises `WarehouseError` for what does more than read, or is nothing."""
    if unsafe := UNSAFE.search(sql) or (CHANGES_THE_LAKE.search(sql) if isinstance(source, Lake) else None):
        raise WarehouseError(f"`{unsafe[1]}` is no function for reading the published marts")
    with duckdb.connect() as parser:
        kinds = list(_kinds(parser, sql))
    if not kinds:
        raise WarehouseError("there is no statement to run", 'such as: htw query "from dim_coin limit 5"')
    if isinstance(source, Lake) and any(kind != "SELECT" for kind in kinds):
        raise WarehouseError("the lake answers SELECT only (and EXPLAIN of it)")
    if any(kind in REACHES_FILES for kind in kinds):
        raise WarehouseError("reaching other files is disabled in a query; `htw query --output FILE` and `htw export` write them")


def _kinds(parser: duckdb.DuckDBPyConnection, sql: str) -> Iterator[str]:
    """What each statement is, that which an EXPLAIN is of included: EXPLAIN ANALYZE does it."""
    for statement in _statements(parser, sql):
        if statement.type == duckdb.StatementType.EXPLAIN:
            yield from _kinds(parser, EXPLAINS.sub("", statement.query))
        else:
            yield statement.type.name


def _statements(parser: duckdb.DuckDBPyConnection, sql: str) -> list[duckdb.Statement]:
    try:
        return parser.extract_statements(sql)
    except duckdb.Error as error:
        raise WarehouseError(str(error).strip()) from error
