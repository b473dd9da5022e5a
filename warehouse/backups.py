"""Copies of the working file, made before something changes it for good, and putting one back.

Belongs here: making a copy that is whole or not there, and its way back. Does not: when one is made
(`orchestration.upgrading`). The vault is copied by whatever copies files: what is in it does not change.
"""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path

from warehouse.connection import WarehouseError, connect, wal_of, writer_lock
from warehouse.publish import forget_origin
from warehouse.small_files import sync_folder

FOLDER = "backups"
UNFINISHED = ".unfinished"


def back_up(file: Path, now: datetime) -> Path:
    """Copy the working file, its log written into it first, to the folder `backups` beside it; the copy, named by `now` (UTC).

    A kill leaves none, or a whole one. Raises `WarehouseError` where there is no room for it.
    """
    folder = file.parent / FOLDER
    target = folder / f"{file.stem}-{now:%Y%m%dT%H%M%SZ}{file.suffix}"
    with writer_lock(file):
        _fold_log_in(file)
        folder.mkdir(exist_ok=True)
        for left in folder.glob(f"*{UNFINISHED}"):
            left.unlink()
        _refuse_without_room(file, folder)
        _copy_durably(file, target.with_name(target.name + UNFINISHED))
        target.with_name(target.name + UNFINISHED).replace(target)
        sync_folder(folder)
    return target


def restore(backup: Path, file: Path) -> None:
    """Put a copy in the place of the working file, as one step; the copy stays.

    What was loaded since is in the vault, not in the copy. Published are all rows anew, because those of the copy will get other
    load numbers beside them than the file before had. Raises `WarehouseError` where the copy cannot be read, or there is no room.
    """
    if not backup.is_file():
        raise WarehouseError(f"there is no {backup}", f"backups lie in {file.parent / FOLDER}")
    connect(backup, read_only=True).close()
    unfinished = file.with_name(f"{file.name}.restoring")
    with writer_lock(file):
        unfinished.unlink(missing_ok=True)
        _refuse_without_room(backup, file.parent)
        _copy_durably(backup, unfinished)
        with connect(unfinished) as connection:
            forget_origin(connection)
        # Left alone it would be taken for that of the copy.
        wal_of(file).unlink(missing_ok=True)
        unfinished.replace(file)
        sync_folder(file.parent)


def _fold_log_in(file: Path) -> None:
    with connect(file) as connection:
        connection.execute("checkpoint")


def _refuse_without_room(file: Path, folder: Path) -> None:
    size, free = file.stat().st_size, shutil.disk_usage(folder).free
    if size >= free:
        says = f"a copy of {file} takes {size / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free in {folder}"
        raise WarehouseError(says, "free some space; nothing was changed")


def _copy_durably(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("rb") as copied:
        os.fsync(copied.fileno())
