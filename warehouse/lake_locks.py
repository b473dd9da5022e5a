"""Who may write the lake: one process at a time a local one, one a table of a shared one; and whether a lake is there at all.

Belongs here: the locks. Does not: which are taken for what (`lake_publish`, `lake_upkeep`, `lake_moving`).

DuckLake finds conflicts at the commit, per table, and does not try again what deleted rows. So whoever writes a table of a shared
lake first takes PostgreSQL's advisory lock of that table, on a connection of its own: the server releases it when the process
dies. Locks are taken in one order, first that of the lake as a whole (shared by all who write rows, alone for whoever makes
tables or expires states), then those of tables by name, so that nobody waits in a circle.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator
from typing import Any

import duckdb
from filelock import FileLock, Timeout

from warehouse.lake import Lake, LakeError, attached, mend_of
from warehouse.lake_places import Bucket, Server

LOCK_WAIT_S = 120.0
CONNECT_TIMEOUT_S = 5
KEEPALIVE_S = 30
WAIT_MEND = "wait for it"


@contextlib.contextmanager
def lake_lock(lake: Lake, wait_s: float = LOCK_WAIT_S, tables: Collection[str] | None = None) -> Iterator[None]:
    """The right to write some tables of a lake, or (None) all of it; of a local lake it is all of it always.

    Raises `LakeError` where another process has it for too long, and where the catalog cannot be reached.
    """
    if isinstance(lake.catalog, Server):
        with _advisory_locks(lake.catalog, lake, wait_s, tables):
            yield
        return
    lock = FileLock(lake.catalog.with_name(f"{lake.catalog.name}.lock"), timeout=wait_s)
    try:
        lake.catalog.parent.mkdir(parents=True, exist_ok=True)
        make_folder(lake)
        lock.acquire()
    except Timeout:
        raise LakeError(f"another process has been writing the lake for more than {wait_s:.0f} s", WAIT_MEND) from None
    except OSError as error:
        raise LakeError(f"the lake at {lake.catalog} cannot be written ({error.strerror})", mend_of(lake)) from error
    try:
        yield
    finally:
        lock.release()


def make_folder(lake: Lake) -> None:
    """The folder of the data, where it is one. Raises `OSError`."""
    if not isinstance(lake.data, Bucket):
        lake.data.mkdir(parents=True, exist_ok=True)


def is_made(lake: Lake) -> bool:
    """Whether anything was ever published there. Raises `LakeError` where the catalog cannot be reached."""
    if isinstance(lake.catalog, Server):
        with _connected(lake.catalog, lake) as cursor:
            cursor.execute("select to_regclass('ducklake_metadata') is not null")
            return bool(cursor.fetchone()[0])
    return lake.catalog.exists()


def make_once(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    """Make a lake where there is none yet: two that make one catalog at once would both fail."""
    if not is_made(lake):
        with lake_lock(lake), attached(connection, lake):
            pass


@contextlib.contextmanager
def _advisory_locks(server: Server, lake: Lake, wait_s: float, tables: Collection[str] | None) -> Iterator[None]:
    from psycopg2 import Error
    from psycopg2.errors import LockNotAvailable

    with _connected(server, lake) as cursor:
        try:
            cursor.execute("select set_config('lock_timeout', %s, false)", (f"{wait_s:.0f}s",))
            cursor.execute(f"select pg_advisory_lock{'' if tables is None else '_shared'}(%s)", (_key(""),))
            for table in sorted(tables or ()):
                cursor.execute("select pg_advisory_lock(%s)", (_key(table),))
        except LockNotAvailable:
            raise LakeError(f"another process has been writing the lake for more than {wait_s:.0f} s", WAIT_MEND) from None
        except Error as error:
            raise _unreachable(lake, error) from None
        yield


@contextlib.contextmanager
def _connected(server: Server, lake: Lake) -> Iterator[Any]:
    """A cursor outside any transaction; what was locked with it is free at the end."""
    import psycopg2

    try:
        connection = psycopg2.connect(
            host=server.host, port=server.port, dbname=server.database, user=server.user, password=server.password or None,
            connect_timeout=CONNECT_TIMEOUT_S, keepalives_idle=KEEPALIVE_S, application_name="htw",
        )  # fmt: skip
    except psycopg2.Error as error:
        raise _unreachable(lake, error) from None
    try:
        connection.autocommit = True
        yield connection.cursor()
    finally:
        with contextlib.suppress(psycopg2.Error):
            connection.close()


def _unreachable(lake: Lake, error: Exception) -> LakeError:
    why = " ".join((str(error).strip() or "the connection was lost").splitlines()[0].split())
    return LakeError(f"the lake's catalog {lake.catalog} cannot be reached ({why})", mend_of(lake))


def _key(table: str) -> int:
    """The number of a lock: PostgreSQL's are numbers, each of one database."""
    return int.from_bytes(hashlib.sha256(f"htw lake {table}".encode()).digest()[:8], signed=True)
