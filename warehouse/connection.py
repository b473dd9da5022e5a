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

from warehouse.disk import DISK_FULL, is_disk_full

LOCK_WAIT_S = 120.0
DAMAGE_WORDS = ("not a valid duckdb", "corrupt", "checksum", "could not read enough", "version number", "deserialize", "unusable")


class WarehouseError(Exception):
    """Something about the warehouse file that the reader of the message can mend; `mend` is how, where that stands apart."""

    def __init__(self, says: str, mend: str = "") -> None:
        super().__init__(f"{says}; {mend}" if mend else says)
        self.says, self.mend = says, mend


class WarehouseLockedError(WarehouseError):
    """Another process holds the working file."""


class DiskFullError(WarehouseError):
    """What was being written is not there; what was there before still is."""


@contextlib.contextmanager
def writer_lock(file: Path, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Hold the right to write the working file; may be nested within a thread.

    Raises `WarehouseLockedError` naming the holder when it is not free after `wait_s` seconds.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    holder = file.with_suffix(".holder")
    lock = FileLock(file.with_suffix(".lock"), is_singleton=True)
    try:
        with lock.acquire(timeout=wait_s):
            holder.write_text(f"process {os.getpid()}")
            yield
    except Timeout as error:
        who = holder.read_text() if holder.exists() else "another process"
        raise WarehouseLockedError(
            f"{file} was held by {who} for {wait_s:.0f} s", "wait for it or stop it, then run the command again"
        ) from error


@contextlib.contextmanager
def open_writer(file: Path, wait_s: float = LOCK_WAIT_S) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-write connection to the working file, under the writer lock; committed work is checkpointed at the end.

    Raises `WarehouseLockedError` when another program (a database browser, say) has the file open, `DiskFullError`, and
    `WarehouseError` when the file is damaged or no database of this DuckDB version.
    """
    with writer_lock(file, wait_s):
        connection = connect(file)
        try:
            yield connection
            connection.execute("checkpoint")
        except (duckdb.IOException, duckdb.FatalException, duckdb.InternalException) as error:
            raise _in_words(file, error) from error
        finally:
            connection.close()


@contextlib.contextmanager
def open_reader(file: Path, wait_s: float = LOCK_WAIT_S) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the working file, under the writer lock too: DuckDB turns a writer away while anybody reads."""
    with writer_lock(file, wait_s):
        connection = connect(file, read_only=True)
        try:
            yield connection
        finally:
            connection.close()


def connect(file: Path, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file in UTC. Errors come as `WarehouseError` with the command that mends them."""
    try:
        connection = duckdb.connect(str(file), read_only=read_only)
    except duckdb.Error as error:
        raise _in_words(file, error) from error
    connection.execute("set timezone = 'UTC'")
    return connection


def _in_words(file: Path, error: duckdb.Error) -> WarehouseError:
    says = " ".join(str(error).strip().splitlines()[0].split())
    if is_disk_full(error):
        return DiskFullError(DISK_FULL)
    if "could not set lock" in says.lower():
        return WarehouseLockedError(
            f"{file} is open in another program ({says})", "close it there: readers use the published copy"
        )
    if any(word in says.lower() for word in DAMAGE_WORDS):
        return WarehouseError(f"{file} is damaged ({says})", "move it aside and run `htw rebuild`: the vault has everything")
    return WarehouseError(
        f"{file} cannot be used ({says})", "see that HTW_DATA_DIR can be read and written, then run `htw doctor`"
    )
