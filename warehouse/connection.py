"""Opening the working DuckDB file: one writer at a time, for as long as a load or a build lasts, and no longer.

Belongs here: the writer lock, connections, and the words for a file that someone else holds. Does not: what is written
(`load`, `ledger`, `publish`), or the readers' copy (`publish`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import duckdb
from filelock import FileLock, Timeout

LOCK_WAIT_S = 120.0


class WarehouseError(Exception):
    """Something about the warehouse file that the reader of the message can mend."""


class WarehouseLockedError(WarehouseError):
    """Another process holds the working file."""


@contextlib.contextmanager
def writer_lock(file: Path, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Hold the right to write the working file; may be nested within a thread.

    Raises `WarehouseLockedError` naming the holder when it is not free after `wait_s` seconds.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    holder = file.with_suffix(".holder")
    lock = FileLock(file.with_suffix(".lock"), timeout=wait_s, is_singleton=True)
    try:
        with lock:
            holder.write_text(f"process {os.getpid()}")
            yield
    except Timeout as error:
        who = holder.read_text() if holder.exists() else "another process"
        raise WarehouseLockedError(
            f"{file} was held by {who} for {wait_s:.0f} s; wait for it or stop it, then run the command again"
        ) from error


@contextlib.contextmanager
def open_writer(file: Path, wait_s: float = LOCK_WAIT_S) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-write connection to the working file, under the writer lock; committed work is checkpointed at the end.

    Raises `WarehouseLockedError` when another program (a database browser, say) has the file open, and
    `WarehouseError` when the file is no database of this DuckDB version.
    """
    with writer_lock(file, wait_s):
        connection = connect(file)
        try:
            yield connection
            connection.execute("checkpoint")
        finally:
            connection.close()


def connect(file: Path, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file in UTC. Errors come as `WarehouseError` with the command that mends them."""
    try:
        connection = duckdb.connect(str(file), read_only=read_only)
    except duckdb.IOException as error:
        if "lock" in str(error).lower():
            raise WarehouseLockedError(
                f"{file} is open in another program ({_first_line(error)}); close it there: readers use the published copy"
            ) from error
        raise WarehouseError(f"{file} cannot be opened: {_first_line(error)}. Run `htw doctor`") from error
    except duckdb.Error as error:
        raise WarehouseError(
            f"{file} cannot be opened: {_first_line(error)}. Move it aside and run `htw rebuild`: the vault has everything"
        ) from error
    connection.execute("set timezone = 'UTC'")
    return connection


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
