"""Reading the published copy: SQL typed by a person, which can read the marts and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pandas as pd

from warehouse.connection import WarehouseError

# These end the process where files are out of reach, follow addresses in memory, or run SQL that this pattern cannot see.
UNSAFE = re.compile(
    r"(?i)\b(enable_logging|enable_profiling|arrow_scan|arrow_scan_dumb|pandas_scan|python_map_function|"
    r"json_execute_serialized_sql|query)\b(?=\W*\()"
)


def connect_published(file: Path) -> duckdb.DuckDBPyConnection:
    """A read-only connection to the version published now, `marts` on the search path, times in UTC.

    It cannot write, attach, load extensions or read other files. Raises `WarehouseError` when nothing was published yet.
    """
    if not file.exists():
        raise WarehouseError(f"nothing is published at {file} yet; run `htw poll` (or `htw demo`)")
    connection = duckdb.connect(str(file.resolve()), read_only=True)
    connection.execute("set timezone = 'UTC'")
    connection.execute("set enable_progress_bar = false")
    connection.execute("set search_path = 'marts,main'")
    connection.execute("set enable_external_access = false")
    connection.execute("set python_enable_replacements = false")
    connection.execute("set lock_configuration = true")
    return connection


def query(file: Path, sql: str) -> pd.DataFrame:
    """The result of one statement over the published marts. Raises `WarehouseError` with DuckDB's words."""
    if unsafe := UNSAFE.search(sql):
        raise WarehouseError(f"`{unsafe[1]}` is no function for reading the published marts")
    with connect_published(file) as connection:
        try:
            relation = connection.sql(sql)
            return pd.DataFrame() if relation is None else relation.df()
        except duckdb.Error as error:
            raise WarehouseError(str(error).strip()) from error
