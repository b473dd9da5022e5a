"""Reading what was published, the file or the lake: SQL typed by a person, which can read the marts and nothing else."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import duckdb
import pandas as pd

from warehouse.connection import WarehouseError
from warehouse.lake import NAME, Lake, LakeError, attach, first_line, literal

# These end the process where files are out of reach, follow addresses in memory, or run SQL that this pattern cannot see.
UNSAFE = re.compile(
    r"(?i)\b(enable_logging|enable_profiling|arrow_scan|arrow_scan_dumb|pandas_scan|python_map_function|"
    r"json_execute_serialized_sql|query)\b(?=\W*\()"
)


# The lake's files are within reach where the lake is read: what changes them is no reading.
CHANGES_THE_LAKE = re.compile(
    r"(?i)\b(?:ducklake_)?(cleanup_old_files|delete_orphaned_files|expire_snapshots|merge_adjacent_files|rewrite_data_files|"
    r"flush_inlined_data|add_data_files|set_option|set_commit_message)\b(?=\W*\()"
)
EXPLAINS = re.compile(r"(?is)^\s*explain(\s+analyze)?\s*(\([^()]*\))?\s+")


def connect_published(source: Path | Lake, at: datetime | None = None) -> duckdb.DuckDBPyConnection:
    """A read-only connection to what is published now, `marts` on the search path, times in UTC.

    `source` is the published file, of which this is the newest version, or the lake; `at` shows the lake as it was then. The
    connection cannot write a mart, load extensions or read other files than those of its source. Raises `WarehouseError` when
    nothing was published yet.
    """
    return _confined(_open_lake(source, at) if isinstance(source, Lake) else _open_file(source))


def _open_file(file: Path) -> duckdb.DuckDBPyConnection:
    if not file.exists():
        raise WarehouseError(f"nothing is published at {file} yet; run `htw poll` (or `htw demo`)")
    connection = duckdb.connect(str(file.resolve()), read_only=True)
    connection.execute("set search_path = 'marts,main'")
    return connection


def _open_lake(lake: Lake, at: datetime | None) -> duckdb.DuckDBPyConnection:
    if not lake.catalog.exists():
        raise WarehouseError(f"there is no lake at {lake.catalog} yet; run `htw poll` (or `htw demo`)")
    connection = duckdb.connect()
    try:
        attach(connection, lake, read_only=True, at=at)
        connection.execute(f"set search_path = '{NAME}.marts,{NAME}.main'")
    except duckdb.Error as error:
        connection.close()
        raise LakeError(f"the lake at {lake.catalog} cannot be read ({first_line(error)})", "run `htw lake status`") from error
    connection.execute(f"set allowed_directories = [{literal(f'{lake.data}/')}]")
    # SQLite keeps its log beside the catalog.
    connection.execute(f"set allowed_paths = [{', '.join(literal(f'{lake.catalog}{end}') for end in ('', '-wal', '-shm'))}]")
    return connection


def _confined(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    connection.execute("set timezone = 'UTC'")
    connection.execute("set enable_external_access = false")
    connection.execute("set python_enable_replacements = false")
    connection.execute("set lock_configuration = true")
    return connection


def query(source: Path | Lake, sql: str, at: datetime | None = None) -> pd.DataFrame:
    """The result of one statement over the published marts. Raises `WarehouseError` with DuckDB's words."""
    if unsafe := UNSAFE.search(sql) or (CHANGES_THE_LAKE.search(sql) if isinstance(source, Lake) else None):
        raise WarehouseError(f"`{unsafe[1]}` is no function for reading the published marts")
    if isinstance(source, Lake):
        _refuse_other_than_reading(sql)
    with connect_published(source, at) as connection:
        try:
            relation = connection.sql(sql)
            return pd.DataFrame() if relation is None else relation.df()
        except duckdb.Error as error:
            raise WarehouseError(str(error).strip()) from error


def _refuse_other_than_reading(sql: str) -> None:
    """COPY and ATTACH would write where the lake's files may be read."""
    with duckdb.connect() as parser:
        for statement in _statements(parser, sql):
            is_explained = statement.type == duckdb.StatementType.EXPLAIN
            inner = _statements(parser, EXPLAINS.sub("", statement.query)) if is_explained else [statement]
            if any(found.type != duckdb.StatementType.SELECT for found in inner):
                raise WarehouseError("the lake answers SELECT only (and EXPLAIN of it)")


def _statements(parser: duckdb.DuckDBPyConnection, sql: str) -> list[duckdb.Statement]:
    try:
        return parser.extract_statements(sql)
    except duckdb.Error as error:
        raise WarehouseError(str(error).strip()) from error
