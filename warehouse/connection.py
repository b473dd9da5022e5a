"""Opening the working DuckDB file: one writer at a time, for as long as a load or a build lasts, and no longer.

Belongs here: the writer lock, connections, a file that someone else holds or that is damaged. Does not: what is written (`load`,
`ledger`, `publish`), the readers' copy (`publish`), other things that crashes leave behind (`repair`).

A damaged file is moved aside by whoever would have written to it, and from then on everything says how to make it again: a new
and empty one in its place would soon be published.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import stamina
from filelock import FileLock, Timeout

from warehouse.disk import DISK_FULL, is_disk_full
from warehouse.network_disks import network_type
from warehouse.schema_version import CURRENT, note, noted, steps_left

LOCK_WAIT_S = 120.0
# A look into the file with another program ends in seconds; one that stays open all day must not hold up every load for long.
OTHER_PROGRAM_WAIT_S = 20.0
# The first whose write-ahead log names the file it is of: earlier ones replay the log of any file.
STORAGE_VERSION = "v1.4.0"
REBUILD_MEND = "run `htw rebuild`: the vault has everything"
VERSION_WORDS = ("with version number", "newer version of duckdb", "older version of duckdb", "different version of duckdb")
DAMAGE_WORDS = ("not a valid duckdb", "corrupt", "while replaying wal", "this wal was created", "deserialize")
VERSION_MEND = "nothing was written: use the version it says, or keep the file under another name and run `htw rebuild`"
UNWRITABLE_MEND = "see that HTW_DATA_DIR can be read and written, then run `htw doctor`"
UPGRADE_MEND = "stop the services, then run `htw upgrade`; with `--dry-run` it says what it would do"
NEWER_MEND = "nothing was touched: use that release, or a newer one"
NETWORK_DISK_MEND = "set HTW_DATA_DIR to a folder on a disk of this machine"
SHORT_WORDS = "could not read enough"
FATAL_WORDS = ("has been invalidated", "unusable")


class WarehouseError(Exception):
    """Something about the warehouse file that the reader of the message can mend; `mend` is how, where that stands apart."""

    def __init__(self, says: str, mend: str = "") -> None:
        super().__init__(f"{says}; {mend}" if mend else says)
        self.says, self.mend = says, mend


class WarehouseLockedError(WarehouseError):
    """Another process holds the working file."""


class NetworkDiskError(WarehouseError):
    """The working file would lie on a disk that other machines share, where its lock does not hold."""


class DiskFullError(WarehouseError):
    """What was being written is not there; what was there before still is."""


class DamagedFileError(WarehouseError):
    """The working file, or its write-ahead log, is not what DuckDB wrote. The vault makes it again."""


class OtherVersionError(WarehouseError):
    """The working file is of a version of DuckDB that this one cannot read; nothing of it was touched."""


class EarlierSchemaError(WarehouseError):
    """An earlier release wrote the working file, and `htw upgrade` was not run yet; nothing of it was touched."""


class NewerSchemaError(WarehouseError):
    """A newer release wrote the working file; nothing of it was touched."""


@contextlib.contextmanager
def writer_lock(file: Path, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """Hold the right to write the working file; may be nested within a thread.

    Raises `WarehouseLockedError` naming the holder when it is not free after `wait_s` seconds, and `NetworkDiskError`.
    """
    holder = file.with_suffix(".holder")
    lock = FileLock(file.with_suffix(".lock"), is_singleton=True)
    try:
        _prepare_folder(file.parent)
        with lock.acquire(timeout=wait_s):
            holder.write_text(f"process {os.getpid()}")
            try:
                yield
            finally:
                if lock.lock_counter == 1:
                    holder.unlink(missing_ok=True)
    except Timeout as error:
        raise WarehouseLockedError(
            f"{file} was held by {_said_by(holder)} for {wait_s:.0f} s", "wait for it or stop it, then run the command again"
        ) from error


def left_holder(file: Path, forget: bool = False) -> str:
    """Who died while holding the writer lock, which is free all the same: the system takes back the locks of the dead. Empty
    where nobody did. To `forget` it changes nothing else."""
    holder, lock = file.with_suffix(".holder"), FileLock(file.with_suffix(".lock"))
    if not holder.exists():
        return ""
    with contextlib.suppress(Timeout, OSError), lock.acquire(timeout=0):
        who = _said_by(holder)
        if forget:
            holder.unlink(missing_ok=True)
        return who
    return ""


def _said_by(holder: Path) -> str:
    """Who holds the lock; a process may have died, or have ended, while it wrote that down."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return holder.read_text() or "another process"
    return "another process"


def _prepare_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WarehouseError(f"{folder} cannot be written ({error.strerror})", UNWRITABLE_MEND) from error
    if not os.access(folder, os.W_OK):
        raise WarehouseError(f"{folder} cannot be written", UNWRITABLE_MEND)
    refuse_network_disk(folder)


def refuse_network_disk(folder: Path) -> None:
    """Raises `NetworkDiskError` where a folder lies on a disk that other machines share."""
    if kind := network_type(folder):
        raise NetworkDiskError(
            f"{folder} lies on a network disk ({kind}), where a DuckDB file cannot be written safely", NETWORK_DISK_MEND
        )


@contextlib.contextmanager
def open_writer(file: Path, wait_s: float = LOCK_WAIT_S) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-write connection to the working file, under the writer lock; committed work is checkpointed at the end.

    Raises `WarehouseLockedError` when another program (a database browser, say) has the file open, `DiskFullError`,
    `OtherVersionError`, `EarlierSchemaError`, `NewerSchemaError`, and `DamagedFileError` when the file is damaged: it was moved
    aside then.
    """
    with writer_lock(file, wait_s), _damage_moved_aside(file):
        _make(file)
        connection = _connect_patiently(file, min(wait_s, OTHER_PROGRAM_WAIT_S))
        try:
            if refuse_other_schema(file, connection) < CURRENT:
                note(connection)
            yield connection
            connection.execute("checkpoint")
        except (duckdb.IOException, duckdb.FatalException, duckdb.InternalException) as error:
            raise _in_words(file, error) from error
        finally:
            connection.close()


@contextlib.contextmanager
def open_reader(file: Path, wait_s: float = LOCK_WAIT_S) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the working file, under the writer lock too: DuckDB turns a writer away while anybody reads.

    Raises what `open_writer` does.
    """
    with writer_lock(file, wait_s):
        _refuse_moved(file)
        connection = connect(file, read_only=True)
        try:
            refuse_other_schema(file, connection)
            yield connection
        finally:
            connection.close()


def refuse_other_schema(file: Path, connection: duckdb.DuckDBPyConnection) -> int:
    """The schema version that an open working file says it has, where this release can work in it: it may lack nothing but the
    note. Raises `EarlierSchemaError` and `NewerSchemaError`."""
    found = noted(connection)
    if found.version > CURRENT:
        says = f"{file} was written by release {found.release} (schema version {found.version}; this one knows {CURRENT})"
        raise NewerSchemaError(says, NEWER_MEND)
    if any(steps_left(connection)):
        says = f"{file} was written by an earlier release (schema version {found.version}; this one needs {CURRENT})"
        raise EarlierSchemaError(says, UPGRADE_MEND)
    return found.version


def wal_of(file: Path) -> Path:
    """DuckDB's write-ahead log of a file."""
    return file.with_name(f"{file.name}.wal")


def moved_aside(file: Path) -> list[Path]:
    """The damaged working files that were kept, oldest first."""
    return [path for path in sorted(file.parent.glob(f"{file.name}.damaged-*")) if path.suffix != ".wal"]


def move_aside(file: Path) -> Path:
    """Keep a damaged working file, and its log, under a name with the time; the new name. For whoever has the writer lock."""
    aside = file.with_name(f"{file.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    # The log goes first: left alone it would be taken for that of the next file.
    for old, new in ((wal_of(file), wal_of(aside)), (file, aside)):
        with contextlib.suppress(FileNotFoundError):
            old.rename(new)
    return aside


@contextlib.contextmanager
def _damage_moved_aside(file: Path) -> Iterator[None]:
    try:
        yield
    except DamagedFileError as error:
        if not file.exists():
            raise
        aside = move_aside(file)
        raise DamagedFileError(f"{error.says} and was moved aside to {aside.name}", REBUILD_MEND) from error


def _refuse_moved(file: Path) -> None:
    if not file.exists() and (kept := moved_aside(file)):
        raise DamagedFileError(f"{file} was damaged and is kept as {kept[-1].name}", REBUILD_MEND)


def _make(file: Path) -> None:
    """Make the file where there never was one, as one step: a kill leaves none, or a whole one."""
    _refuse_moved(file)
    if file.exists():
        return
    unfinished = file.with_name(f"{file.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    path = str(unfinished).replace("'", "''")
    try:
        with duckdb.connect() as maker:
            maker.execute(f"attach '{path}' as made (storage_version '{STORAGE_VERSION}')")
            maker.execute("detach made")
    except duckdb.Error as error:
        raise _in_words(file, error) from error
    unfinished.rename(file)


def _connect_patiently(file: Path, wait_s: float) -> duckdb.DuckDBPyConnection:
    """Connect once another program has let go of the file."""
    for attempt in stamina.retry_context(WarehouseLockedError, attempts=None, timeout=wait_s, wait_initial=0.2, wait_max=2.0):
        with attempt:
            return connect(file)
    raise AssertionError("stamina returns or raises")


def connect(file: Path, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file in UTC. Errors come as `WarehouseError` with the command that mends them."""
    try:
        connection = duckdb.connect(str(file), read_only=read_only)
    except duckdb.Error as error:
        raise _in_words(file, error) from error
    connection.execute("set timezone = 'UTC'")
    # DuckDB would draw it on standard output, where commands print what scripts read.
    connection.execute("set enable_progress_bar = false")
    return connection


def _in_words(file: Path, error: duckdb.Error) -> WarehouseError:
    says = " ".join(str(error).strip().splitlines()[0].split())
    if is_disk_full(error):
        return DiskFullError(DISK_FULL)
    if "could not set lock" in says.lower():
        return WarehouseLockedError(
            f"{file} is open in another program ({says})", "close it there: readers use the published copy"
        )
    if any(words in says.lower() for words in VERSION_WORDS):
        return OtherVersionError(f"{file} was written by another version of DuckDB ({says})", VERSION_MEND)
    if is_damage(says) or (SHORT_WORDS in says.lower() and str(file) in says):
        return DamagedFileError(f"{file} is damaged ({says})", REBUILD_MEND)
    if any(words in says.lower() for words in FATAL_WORDS):
        return WarehouseError(f"{file} cannot be used any more ({says})", "run `htw doctor --fix`, which reads all of it")
    return WarehouseError(f"{file} cannot be used ({says})", UNWRITABLE_MEND)


def is_damage(says: str) -> bool:
    """Whether DuckDB says of the file it works in that it is not as it was written."""
    return any(words in says.lower() for words in DAMAGE_WORDS)
