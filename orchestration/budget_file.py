"""The file in which all processes of a data folder write down their requests: SQLite, one transaction an entry.

Belongs here: opening it, transactions, its tables, what to do when it is damaged. Does not: what the entries mean (`budget`).
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

LOGGER = logging.getLogger("budget")
BUSY_TIMEOUT_S = 60.0
DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
COMPANIONS = ("-wal", "-shm", "")

# Times are microseconds since 1970. `days`: requests of a UTC day. `places`: requests that occupy the minute until `free_at`;
# their ticket is never given twice. `said`: what the server last said of the day's and the month's quota. `quiet`: when anybody
# may ask again after a 429. `waiting`: how many requests of an owner wait for the minute, or follow those that do, by claim.
TABLES = """
create table if not exists days (
    day text not null, urgency integer not null, requests integer not null, primary key (day, urgency)
);
create table if not exists places (
    ticket integer primary key autoincrement, day text not null, urgency integer not null, requests integer not null,
    debited_at integer not null, free_at integer not null, is_answered integer not null default 0
);
create index if not exists places_by_end on places (free_at);
create table if not exists said (
    unit text primary key, window_start integer not null, closed_until integer not null, "limit" integer, current integer,
    elsewhere integer not null
);
create table if not exists quiet (one integer primary key check (one = 1), until integer not null);
create table if not exists waiting (
    owner text not null, urgency integer not null, ends_at integer not null, requests integer not null, seen_at integer not null,
    primary key (owner, urgency, ends_at)
) without rowid;
"""

ResultT = TypeVar("ResultT")
Work = Callable[[sqlite3.Connection], ResultT]


class BudgetFile:
    """One process's way to the file; safe to use from several threads. Opens nothing until it is used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._threads = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None

    def write(self, work: Work[ResultT]) -> ResultT:
        """Do the work while nobody else writes; what it wrote is durable at return. A damaged file is begun anew."""
        with self._threads:
            try:
                return self._in_transaction(work)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._begin_anew()
                return self._in_transaction(work)

    def read(self, work: Work[ResultT]) -> ResultT:
        """Do work that changes nothing; a file that is not there is read as an empty one, and not made."""
        if self.path.exists():
            return self.write(work)
        with contextlib.closing(sqlite3.connect(":memory:")) as nothing:
            nothing.executescript(TABLES)
            return work(nothing)

    def _in_transaction(self, work: Work[ResultT]) -> ResultT:
        connection = self._open()
        connection.execute("begin immediate")
        try:
            result = work(connection)
            connection.execute("commit")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("rollback")
            raise
        return result

    def _open(self) -> sqlite3.Connection:
        """The connection; a new one where another process has moved the file aside in the meantime."""
        if self._connection is not None and _identity(self.path) == self._opened:
            return self._connection
        self._close()
        with self._alone():
            self._connection = _connect(self.path)
            self._opened = _identity(self.path)
        weakref.finalize(self, self._connection.close)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Switching a new file to its journal, or moving one aside, is for one process at a time."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f"{self.path.name}.lock")):
            yield

    def _begin_anew(self) -> None:
        """Move a damaged file aside, with its journal: left behind, that would be read into the new one."""
        self._close()
        with self._alone():
            if _is_sound(self.path):
                return  # another process was faster
            aside = f"{self.path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
            for suffix in COMPANIONS:
                with contextlib.suppress(FileNotFoundError):
                    self.path.with_name(self.path.name + suffix).rename(self.path.with_name(aside + suffix))
        LOGGER.warning(
            "%s was damaged and is kept as %s; requests of this day and month are counted anew from zero", self.path, aside
        )


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.executescript(TABLES)
    except BaseException:
        connection.close()
        raise
    return connection


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in DAMAGED


def _is_sound(path: Path) -> bool:
    try:
        with contextlib.closing(_connect(path)) as connection:
            return bool(connection.execute("pragma quick_check").fetchone()[0] == "ok")
    except sqlite3.DatabaseError as error:
        if _is_damage(error):
            return False
        raise
