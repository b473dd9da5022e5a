"""What crashes and failing disks leave behind in the data folder: found, and put right as far as files alone can tell.

Belongs here: temporary files of processes that are gone, records that cannot be read, bodies that no record names, and what the
vault and the ledger know of each other. Does not: a damaged working file (`connection`), judging fetches again
(`orchestration.repairing`), words for people (`orchestration.doctor`).

`tidy` is what every load begins with, and looks at what is under way only. All else reads the whole vault.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from warehouse.fetches import FetchRecord, Part
from warehouse.small_files import is_readable, set_aside
from warehouse.vault import Vault

# No fetch, load or publish goes on for so long without writing: what nobody touched since belongs to nobody.
ABANDONED_AFTER_S = 3600.0
LEFTOVERS = ("vault/tmp/*", "vault/*/*.tmp", "published/*.unfinished*", "published/*.new", "*.tmp", "*.unfinished", "rebuilding")
KNOWN = "select fetch_id, dataset, scope, strftime(slot, '%Y-%m-%d %H:%M'), verdict from ops.fetches"
HAS_LEDGER = "select 1 from duckdb_tables() where schema_name = 'ops' and table_name = 'fetches'"
EVERY_TABLE = "select schema_name, table_name from duckdb_tables() where database_name = current_database()"


@dataclass(frozen=True)
class Known:
    """One fetch as the ledger has it; `slot` in words."""

    fetch_id: str
    dataset: str
    scope: str
    slot: str
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """The vault held against the ledger: what is on one side only, and payloads that are no longer the bytes received."""

    forgotten: list[FetchRecord] = field(default_factory=list)
    gone: list[Known] = field(default_factory=list)
    unsound: list[FetchRecord] = field(default_factory=list)
    loaded: frozenset[str] = frozenset()


def tidy(vault: Vault) -> None:
    """What the start of every load puts right: costs a look at two folders that are empty as a rule."""
    discard(abandoned(vault.temporary.glob("*")))
    for path in vault.pending_file("x").parent.glob("*.json"):
        if not is_readable(path, FetchRecord.from_json):
            _restore_pending(vault, path)


def leftovers(data_dir: Path) -> list[Path]:
    """Temporary files and folders below a data folder that belong to no process any more."""
    return abandoned(path for pattern in LEFTOVERS for path in data_dir.glob(pattern))


def abandoned(paths: Iterable[Path]) -> list[Path]:
    """Those that nobody has touched for an hour."""
    return [path for path in paths if _age_s(path) > ABANDONED_AFTER_S]


def discard(paths: Iterable[Path]) -> int:
    """Remove files and folders; how many there were."""
    count = 0
    for path in paths:
        count += 1
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return count


def mend_records(vault: Vault) -> tuple[int, list[Path]]:
    """Write records again that can be read at their other place; keep those aside that cannot be read at either.

    How many were mended, and where the others are now.
    """
    mended, kept = 0, []
    for path in vault.damaged_records():
        twin = _twin(vault, path)
        if twin is not None:
            vault.keep(twin)
            mended += 1
        elif path.exists():
            kept.append(set_aside(path, vault.root))
    return mended, kept


def unnamed_bodies(vault: Vault, records: Iterable[FetchRecord]) -> list[Path]:
    """Bodies that no record names; those of the last hour may be about to be named."""
    named = {part.file for record in records for part in record.parts}
    alone = (path for path in vault.bodies() if path.relative_to(vault.root).as_posix() not in named)
    return abandoned(alone)


def compare(
    connection: duckdb.DuckDBPyConnection, vault: Vault, records: Iterable[FetchRecord], newest: int | None = None
) -> Comparison:
    """Hold the vault against the ledger; verifies the bodies of the newest payloads, of all by default. Changes nothing."""
    held = list(records)
    waiting = {record.fetch_id for record in vault.pending()}
    rows = connection.execute(KNOWN).fetchall() if connection.execute(HAS_LEDGER).fetchone() else []
    known, ids = {row[0]: Known(*row) for row in rows}, {record.fetch_id for record in held}
    received = [record for record in held if record.parts]
    looked_at = received if newest is None else received[-newest:]
    return Comparison(
        [record for record in held if record.fetch_id not in known and record.fetch_id not in waiting],
        [fetch for fetch in known.values() if fetch.fetch_id not in ids],
        list(_unsound(vault, looked_at)),
        frozenset(fetch.fetch_id for fetch in known.values() if fetch.verdict in ("loaded", "unchanged")),
    )


def read_whole(connection: duckdb.DuckDBPyConnection) -> int:
    """Read every block of every table, so that damage shows; the number of tables. Raises `duckdb.Error`."""
    tables = connection.execute(EVERY_TABLE).fetchall()
    for schema, table in tables:
        connection.execute(f'select bit_xor(hash("{table}")) from "{schema}"."{table}"').fetchall()
    return len(tables)


def _unsound(vault: Vault, records: Iterable[FetchRecord]) -> Iterator[FetchRecord]:
    verdicts = dict[Part, bool]()
    for record in records:
        for part in record.parts:
            if part not in verdicts:
                verdicts[part] = vault.verify(part)
        if not all(verdicts[part] for part in record.parts):
            yield record


def _restore_pending(vault: Vault, path: Path) -> None:
    """By the record of the day, where that can be read; what cannot be read is left to `Vault.pending`, which keeps it aside."""
    if twin := _twin(vault, path):
        vault.mark_pending([twin])


def _twin(vault: Vault, path: Path) -> FetchRecord | None:
    """The record at its other place: pending and the day's are two names of one file, or two files after a second writing."""
    fetch_id = path.stem.rpartition("-")[2]
    for other in (vault.pending_file(fetch_id), *vault.root.glob(f"*/*-*-*/*-{fetch_id}.json")):
        if other != path and other.exists() and is_readable(other, FetchRecord.from_json):
            return FetchRecord.from_json(other.read_text("utf-8"))
    return None


def _age_s(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        newest = max((inner.lstat().st_mtime for inner in path.rglob("*")), default=0.0) if path.is_dir() else 0.0
        return time.time() - max(path.lstat().st_mtime, newest)
    return 0.0
