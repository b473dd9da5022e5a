"""The lake: every mart's permanent home, Parquet files under a catalog (a DuckLake), and how to open it.

Belongs here: where a lake is, loading the extensions, attaching it, the lock of those who write it. Does not: what is written
(`lake_publish`), its upkeep (`lake_upkeep`), reading it for a person (`query`).

The extensions come as packages of their own, so that nothing is ever fetched at run time. The catalog is in WAL mode: readers and
the writer then never wait for each other.
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
from filelock import FileLock, Timeout

from warehouse.connection import WarehouseError

EXTENSIONS = ("sqlite_scanner", "ducklake")
NAME = "lake"
BUSY_TIMEOUT_MS = 10_000
LOCK_WAIT_S = 120.0


class LakeError(WarehouseError):
    """The lake cannot be opened, read or written; the published file is not concerned."""


@dataclass(frozen=True)
class Lake:
    """Where a lake is: the SQLite file of its catalog, the folder of its data."""

    catalog: Path
    data: Path

    @classmethod
    def below(cls, folder: Path | str) -> Lake:
        """The lake of a data folder, where nothing else was set."""
        place = Path(folder).expanduser().absolute() / "lake"
        return cls(place / "catalog.sqlite", place / "data")

    @property
    def lock_file(self) -> Path:
        return self.catalog.with_name(f"{self.catalog.name}.lock")


@contextlib.contextmanager
def lake_lock(lake: Lake, wait_s: float = LOCK_WAIT_S) -> Iterator[None]:
    """One writer of the lake at a time: a publish, or upkeep. Raises `LakeError` where another has it for too long."""
    lock = FileLock(lake.lock_file, timeout=wait_s)
    try:
        lake.catalog.parent.mkdir(parents=True, exist_ok=True)
        lake.data.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise LakeError(f"another process has been writing the lake for more than {wait_s:.0f} s", "wait for it") from None
    except OSError as error:
        raise LakeError(f"the lake at {lake.catalog} cannot be written ({error.strerror})", mend_of(lake)) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def attached(
    connection: duckdb.DuckDBPyConnection, lake: Lake, read_only: bool = False, at: datetime | None = None
) -> Iterator[None]:
    """The lake as the database `lake` of a connection, made where there is none. DuckDB's errors come as `LakeError`."""
    try:
        attach(connection, lake, read_only, at)
        try:
            yield
        finally:
            connection.execute(f"detach {NAME}")
    except duckdb.Error as error:
        raise LakeError(f"the lake at {lake.catalog} cannot be used ({first_line(error)})", mend_of(lake)) from error


def attach(connection: duckdb.DuckDBPyConnection, lake: Lake, read_only: bool = False, at: datetime | None = None) -> None:
    """Attach the lake as the database `lake`; `at` shows it as it was then."""
    load_extensions(connection)
    # The path is given each time, because the catalog may have been moved since it was made.
    options = [f"data_path {literal(f'{lake.data}/')}", "override_data_path true", f"meta_busy_timeout {BUSY_TIMEOUT_MS}"]
    options += ["read_only"] if read_only else ["meta_journal_mode 'WAL'"]
    options += [f"snapshot_time '{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"] if at else []
    connection.execute(f"attach {literal(f'ducklake:sqlite:{lake.catalog}')} as {NAME} ({', '.join(options)})")


def load_extensions(connection: duckdb.DuckDBPyConnection) -> None:
    """Load what the lake needs into a connection, from the installed packages; DuckDB checks their signatures."""
    connection.execute("set autoinstall_known_extensions = false")
    for name in EXTENSIONS:
        connection.execute(f"load {literal(str(_extension_file(name)))}")


def mend_of(lake: Lake) -> str:
    return f"see that {lake.catalog.parent} can be written; or move it away: the next publish makes the lake again"


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
