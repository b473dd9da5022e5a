"""The lake: every mart's permanent home, Parquet files under a catalog (a DuckLake), and how to open it.

Belongs here: where a lake is, loading the extensions, attaching it, a transaction in it. Does not: the two places of a shared
one (`lake_places`), who may write (`lake_locks`), what is written (`lake_publish`, `lake_sending`), its upkeep (`lake_upkeep`),
reading it for a person (`query`).

The extensions come as packages of their own, so that nothing is ever fetched at run time. A catalog in SQLite is in WAL mode:
readers and the writer then never wait for each other. Passwords and keys reach DuckDB as secrets of the connection, which it
shows to nobody and names in no error.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import duckdb

from warehouse.connection import WarehouseError
from warehouse.lake_places import Bucket, Server

NAME = "lake"
AUTHOR = "htw"
BUSY_TIMEOUT_MS = 10_000
# DuckLake doubles its pause between tries of a commit; what conflicts in earnest is kept apart by locks.
RETRY_WAIT_MS = 10


class LakeError(WarehouseError):
    """The lake cannot be opened, read or written; the published file is not concerned."""


@dataclass(frozen=True)
class Lake:
    """Where a lake is: its catalog, a SQLite file or a database of a PostgreSQL server, and its data, a folder or a bucket."""

    catalog: Path | Server
    data: Path | Bucket

    @classmethod
    def below(cls, folder: Path | str) -> Lake:
        """The lake of a data folder, where nothing else was set."""
        place = Path(folder).expanduser().absolute() / "lake"
        return cls(place / "catalog.sqlite", place / "data")

    @property
    def is_shared(self) -> bool:
        """Whether several machines may publish to it."""
        return isinstance(self.catalog, Server)

    @property
    def extensions(self) -> tuple[str, ...]:
        catalog = "postgres_scanner" if isinstance(self.catalog, Server) else "sqlite_scanner"
        return (catalog, "ducklake", *(("httpfs",) if isinstance(self.data, Bucket) else ()))


@contextlib.contextmanager
def attached(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    read_only: bool = False,
    at: datetime | None = None,
    name: str = NAME,
) -> Iterator[None]:
    """The lake as a database of a connection, made where there is none. DuckDB's errors come as `LakeError`.

    May be called again on the same connection after any error: a lost catalog is attached anew.
    """
    try:
        attach(connection, lake, read_only, at, name)
        try:
            yield
        finally:
            connection.execute(f"detach {name}")
    except duckdb.Error as error:
        raise LakeError(f"the lake at {lake.catalog} cannot be used ({first_line(error)})", mend_of(lake)) from error


def attach(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    read_only: bool = False,
    at: datetime | None = None,
    name: str = NAME,
) -> None:
    """Attach the lake as a database; `at` shows it as it was then."""
    load_extensions(connection, lake.extensions)
    _give_secrets(connection, lake, name)
    connection.execute(f"set ducklake_retry_wait_ms = {RETRY_WAIT_MS}")
    if isinstance(lake.catalog, Server):
        address, options = "ducklake:postgres:", [f"meta_secret '{name}_catalog'"]
    else:
        address, options = f"ducklake:sqlite:{lake.catalog}", [f"meta_busy_timeout {BUSY_TIMEOUT_MS}"]
        options += [] if read_only else ["meta_journal_mode 'WAL'"]
    options += [f"data_path {literal(f'{lake.data}/')}"]
    # A folder may have been moved, or be mounted elsewhere on each machine; a bucket is one for all.
    options += ["override_data_path true"] if isinstance(lake.data, Path) else []
    options += ["read_only"] if read_only else []
    options += [f"snapshot_time '{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"] if at else []
    connection.execute(f"attach {literal(address)} as {name} ({', '.join(options)})")


@contextlib.contextmanager
def committed(connection: duckdb.DuckDBPyConnection, says: str) -> Iterator[None]:
    """One transaction of the attached lake, with words that `htw lake status` shows; taken back after any error."""
    connection.execute("begin")
    try:
        yield
        connection.execute(f"call {NAME}.set_commit_message({literal(AUTHOR)}, {literal(says)})")
        connection.execute("commit")
    except BaseException:
        _roll_back(connection)
        raise


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    try:
        connection.execute("rollback")
    except duckdb.Error as error:
        raise LakeError(f"what was begun in the lake could not be taken back ({error})") from error


def _give_secrets(connection: duckdb.DuckDBPyConnection, lake: Lake, name: str) -> None:
    if isinstance(server := lake.catalog, Server):
        given = {"host": server.host, "database": server.database, "user": server.user, "password": server.password}
        _give_secret(connection, f"{name}_catalog", "postgres", given, f"port {server.port}")
    if isinstance(bucket := lake.data, Bucket):
        given = {"key_id": bucket.key_id, "secret": bucket.secret, "region": bucket.region, "scope": f"{bucket.address}/"}
        # Buckets of servers other than Amazon's are seldom names of hosts.
        given |= {"endpoint": bucket.host, "url_style": "path"} if bucket.host else {}
        _give_secret(connection, f"{name}_store", "s3", given, f"use_ssl {str(bucket.is_encrypted).lower()}")


def _give_secret(connection: duckdb.DuckDBPyConnection, name: str, kind: str, given: dict[str, str], more: str) -> None:
    listed = ", ".join([f"type {kind}", more, *(f"{key} {literal(value)}" for key, value in given.items() if value)])
    connection.execute(f"create or replace temporary secret {name} ({listed})")


def load_extensions(connection: duckdb.DuckDBPyConnection, names: tuple[str, ...] = ("sqlite_scanner", "ducklake")) -> None:
    """Load what the lake needs into a connection, from the installed packages; DuckDB checks their signatures."""
    connection.execute("set autoinstall_known_extensions = false")
    for name in names:
        connection.execute(f"load {literal(str(_extension_file(name)))}")


def mend_of(lake: Lake) -> str:
    if isinstance(lake.catalog, Path):
        return f"see that {lake.catalog.parent} can be written; or move it away: the next publish makes the lake again"
    return "see that its PostgreSQL and its data can be reached with the HTW_LAKE settings (`htw doctor` tries), then try again"


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@cache
def _extension_file(name: str) -> Path:
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    folders = [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    files = [file for folder in folders for file in folder.rglob("*.duckdb_extension")]
    wanted = [file for file in files if file.parent.name == f"v{duckdb.__version__}"]
    if not wanted:
        package = f"duckdb-extension-{name.replace('_', '-')}=={duckdb.__version__}"
        raise LakeError(f"DuckDB's extension {name} is not installed", f"run `pip install {package}`")
    return wanted[0]


def first_line(error: Exception) -> str:
    """What DuckDB says of an error, without the place in the SQL."""
    return " ".join(str(error).strip().splitlines()[0].split())
