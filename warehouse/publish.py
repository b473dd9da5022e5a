"""The published file: what readers open, a new version a publish, swapped in as one step.

Belongs here: naming a version, swapping the symlink, keeping the last few. Does not: what is inside a version (`edition`), the
lake (`lake_publish`), or which marts exist (the caller says, from the dbt manifest). Readers keep whatever version they have
open; new ones see the new version at once. A version is written through SQL on the writer's own connection: opening the working
file a second way drops DuckDB's lock.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from warehouse.edition import content_of, write_version
from warehouse.marts import Mart, hash_of

STABLE_NAME = "hypertracker.duckdb"
VERSIONS_KEPT = 3
READ_ONLY_MODE = 0o444


@dataclass(frozen=True)
class Published:
    """What a publish did; `path` is None when nothing had changed since the last one, as are the rows changed in the lake.

    `lake_problem` says why the lake was not written; the next publish catches up.
    """

    path: Path | None
    row_counts: Mapping[str, int]
    lake_changes: Mapping[str, int] | None = None
    lake_problem: str = ""


@dataclass(frozen=True)
class Draft:
    """A copy of the version that readers see, to be brought up to the next one."""

    path: Path
    copy_of: Path


def draft_of(folder: Path) -> Draft | None:
    """Copy the newest version durably, before the writer is asked to wait; None where there is none, or no room."""
    stable = folder / STABLE_NAME
    if not stable.exists():
        return None
    newest = stable.resolve()
    draft = Draft(folder / f"hypertracker-{os.getpid()}.unfinished", newest)
    try:
        shutil.copyfile(newest, draft.path)
        _sync(draft.path)
    except OSError:
        # The writing that follows says what is wrong, or does without.
        draft.path.unlink(missing_ok=True)
        return None
    return draft


def publish_file(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    marts: Sequence[Mart],
    now: datetime,
    models: str = "",
    anew: bool = False,
    hot_days: int | None = None,
    draft: Draft | None = None,
) -> Published:
    """Publish all marts as one new version below `folder`, unless nothing was loaded or modelled since the last.

    `connection` is the open working file, `models` names the version of the SQL that made the marts. A working file that was made
    `anew` may have the load sequence of the one before and other rows, so it is always published, and whole. Of the largest facts
    only the last `hot_days` are in the file, where it is given: the caller knows that the lake has the rest. A `draft` saves the
    writer the time of a copy. Until the last statement readers see the version before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fingerprint, basis = fingerprint_of_content(connection, marts, models), f"{origin_of(connection)}/{models}"
    try:
        if not anew and _published_fingerprint(folder) == fingerprint:
            return Published(None, {})
        version = folder / f"hypertracker-{now:%Y%m%dT%H%M%S%f}Z.duckdb"
        unfinished = version.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        is_copy = not anew and _take_over(folder, draft, unfinished)
        content = content_of(connection, marts, fingerprint, basis, hot_days)
        counts = write_version(connection, unfinished, content, now, is_copy)
    finally:
        if draft:
            draft.path.unlink(missing_ok=True)
    _sync(unfinished)
    unfinished.chmod(READ_ONLY_MODE)
    unfinished.replace(version)
    _point_to(folder / STABLE_NAME, version)
    _drop_old(folder)
    return Published(version, counts)


def _take_over(folder: Path, draft: Draft | None, unfinished: Path) -> bool:
    """Make a copy of the version that readers see now the unfinished one, where there is one."""
    current = draft if draft and draft.copy_of == (folder / STABLE_NAME).resolve() else draft_of(folder)
    with contextlib.suppress(FileNotFoundError):
        if current:
            current.path.replace(unfinished)
            return True
    return False


def fingerprint_of_content(connection: duckdb.DuckDBPyConnection, marts: Sequence[Mart], models: str) -> str:
    """Changes when anything was loaded, or modelled in another way, since."""
    content = f"{_loaded_up_to(connection)}/{_row_count(connection)}/{models}/{hash_of(marts)}"
    return f"{content}/{origin_of(connection)}"


def origin_of(connection: duckdb.DuckDBPyConnection) -> str:
    """What the rows of a working file stem from: another file, or one modelled anew, may give them all other values."""
    connection.execute("create table if not exists ops.origin as select uuid()::varchar as id")
    row = connection.execute("select id from ops.origin").fetchone()
    return str(row[0]) if row else ""


def forget_origin(connection: duckdb.DuckDBPyConnection) -> None:
    """To be called where models were built anew from all that is loaded."""
    connection.execute("drop table if exists ops.origin")


def _loaded_up_to(connection: duckdb.DuckDBPyConnection) -> int:
    row = connection.execute("select coalesce(max(load_seq), 0) from ops.payloads").fetchone()
    return int(row[0]) if row else 0


def _row_count(connection: duckdb.DuckDBPyConnection) -> int:
    """Rows of all marts and of the ledger of fetches: one that loads nothing still adds to what is known."""
    row = connection.execute(
        "select coalesce(sum(estimated_size), 0) from duckdb_tables() "
        "where (schema_name = 'marts' or (schema_name, table_name) = ('ops', 'fetches')) and database_name = current_database()"
    ).fetchone()
    return int(row[0]) if row else 0


def _published_fingerprint(folder: Path) -> str | None:
    """That of the version readers see now; None where there is none, or it cannot be read."""
    path = folder / STABLE_NAME
    if not path.exists():
        return None
    try:
        with duckdb.connect(str(path.resolve()), read_only=True) as published:
            row = published.execute("select fingerprint from main.edition").fetchone()
            return str(row[0]) if row else None
    except duckdb.Error:
        return None


def _point_to(stable: Path, version: Path) -> None:
    fresh = stable.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(version.name)
    fresh.replace(stable)


def _drop_old(folder: Path) -> None:
    """Remove all but the newest versions; a reader that has one open keeps it."""
    versions = sorted(folder.glob("hypertracker-*Z.duckdb"))
    for version in versions[:-VERSIONS_KEPT]:
        version.unlink(missing_ok=True)
    for leftover in folder.glob("hypertracker-*.unfinished*"):
        leftover.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
