"""The folder of an export: what it is for, who may write into it, and which days of which tables it holds.

    DIR/_export.json                          what the folder holds: which coins, of which source
    DIR/_export.lock                          held by the one export that writes into it
    DIR/<table>/_manifest.json                its days: rows, bytes, sha256, and a fingerprint of the content

Belongs here: marker, lock and manifests. Does not: writing days (`export`), versions (`spark_export`).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from filelock import FileLock, Timeout

from warehouse.catalog import Table
from warehouse.connection import WarehouseError
from warehouse.small_files import write_durably

MARKER = "_export.json"
MANIFEST = "_manifest.json"
LOCK = "_export.lock"
LAYOUT = 1
# Rows without a time, and tables without one, are together under a name that readers of such folders take for null.
NO_DAY = "__HIVE_DEFAULT_PARTITION__"


class ExportError(WarehouseError):
    """The folder cannot take this export; nothing in it was changed."""


@dataclass(frozen=True)
class DayFile:
    """One finished day of a table, as the manifest notes it."""

    file: str
    rows: int
    bytes: int
    sha256: str
    content: str


def is_as_noted(folder: Path, known: DayFile) -> bool:
    """Whether a day's file is there in its size."""
    file = folder / known.file
    return file.is_file() and file.stat().st_size == known.bytes


def day_key(day: date | None) -> str:
    """The day as folders and manifests name it."""
    return day.isoformat() if day else NO_DAY


def read_manifest(folder: Path) -> dict[str, DayFile]:
    """The days of a table's folder as noted there; none where nothing was noted yet."""
    file = folder / MANIFEST
    if not file.exists():
        return {}
    try:
        return {day: DayFile(**noted) for day, noted in json.loads(file.read_text("utf-8"))["days"].items()}
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(
            f"{file} is no manifest that can be read ({error})", "remove it: its days are then written again"
        ) from error


@contextlib.contextmanager
def right_to_write(folder: Path) -> Iterator[None]:
    """One export of a folder at a time, in a folder that is empty or holds an earlier one."""
    try:
        if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists() and not _is_just_begun(folder):
            raise ExportError(f"{folder} holds something else than an export", "name another folder with --to")
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise ExportError(f"another export is writing into {folder}", "wait for its end") from None
    except OSError as error:
        raise ExportError(f"{folder} cannot be written ({error.strerror})", "name another folder with --to") from error
    try:
        yield
    finally:
        lock.release()


def _is_just_begun(folder: Path) -> bool:
    """A kill before the marker was written leaves the lock alone."""
    return [path.name for path in folder.iterdir()] == [LOCK]


def mark(folder: Path, what: Mapping[str, object]) -> None:
    """Note what a folder is for. Raises `ExportError` where it is for something else."""
    marker = folder / MARKER
    if not marker.exists():
        write_durably(marker, json.dumps(what, indent=1))
    elif (held := json.loads(marker.read_text("utf-8"))) != what:
        of = ", ".join(held.get("coins") or ["all coins"]) + (f" for {held['for']}" if "for" in held else "")
        tables = f" ({', '.join(held['tables'])} only)" if held.get("tables") else ""
        raise ExportError(f"{folder} holds an export of {of}{tables}", "ask for the same, or name another folder with --to")


def write_manifest(folder: Path, table: Table, days: Mapping[str, DayFile]) -> None:
    """Note the days of a table's folder, and what the table is, in the place of what was noted."""
    columns = {column.name: column.type for column in table.columns.values()}
    noted = {day: asdict(done) for day, done in sorted(days.items())}
    about = {"table": table.name, "description": table.description, "day_of": table.time_column}
    write_durably(folder / MANIFEST, json.dumps({**about, "columns": columns, "days": noted}, indent=1))
