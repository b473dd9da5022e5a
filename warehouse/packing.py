"""Packing old days: loose bodies and records of one day of a dataset become two files, and go once those are durable.

Belongs here: what may be packed, and the order of steps that leaves everything readable whenever it is cut off. Does not: the
files themselves (`packs`).

A pack is written aside, read back, synced and renamed; only then the loose files go. Cut off in between, both have everything,
and the next run removes what is packed already. What others write into an old day meanwhile lies beside the packs.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from filelock import FileLock, Timeout

from warehouse import packs
from warehouse.bodies import is_as_received
from warehouse.fetches import FetchRecord, Part, in_order
from warehouse.small_files import UNREADABLE, sync_folder
from warehouse.vault import Vault

# Yesterday's slots are still asked for again, and what is asked for is then loaded; after that nothing reads them day by day.
PACKED_AFTER_DAYS = 2
# A sweep writes a record again when the state after it is known; nobody fetches for so long.
AT_REST_S = 3600.0


@dataclass(frozen=True)
class PackedDay:
    """One day of a dataset: how many loose files were removed, because packs have them."""

    dataset: str
    day: str
    record_count: int
    body_count: int


@dataclass(frozen=True)
class Loose:
    """A record that is not packed; `stamp` changes when its file is written again."""

    path: Path
    stamp: tuple[int, int]
    text: str
    record: FetchRecord


def pack_days(vault: Vault, before: date, at_rest_s: float = AT_REST_S) -> Iterator[PackedDay]:
    """Pack every day before one (UTC) that has loose records at rest, oldest first. One process at a time: the others give up.

    May be called again, and be cut off anywhere.
    """
    try:
        with FileLock(vault.root / "packing.lock", timeout=0):
            for folder in packable_days(vault, before):
                if packed := _pack_day(vault, folder, at_rest_s):
                    yield packed
    except Timeout:
        return


def packable_days(vault: Vault, before: date) -> list[Path]:
    """The folders of days before one (UTC) that hold loose records."""
    days = (folder for folder in vault.root.glob("*/????-??-??") if folder.name < before.isoformat())
    return sorted((folder for folder in days if any(folder.glob("*.json"))), key=lambda folder: (folder.name, folder.parent.name))


def _pack_day(vault: Vault, folder: Path, at_rest_s: float) -> PackedDay | None:
    loose = _loose(folder, {record.fetch_id for record in vault.pending()}, time.time() - at_rest_s)
    known = {fetch_id: text for pack in packs.record_packs(folder) for fetch_id, text in packs.texts_by_id(pack).items()}
    # What was packed in other words stays loose, and so counts.
    fresh = [one for one in loose if one.record.fetch_id not in known]
    packed = fresh + [one for one in loose if known.get(one.record.fetch_id) == one.text.encode()]
    bodies = {vault.path(part): part for one in packed for part in one.record.parts}
    there = {path: part for path, part in bodies.items() if path.parent == folder and path.exists()}
    sound = _write_bodies(vault, folder, there)
    if fresh:
        _write_records(vault, folder, fresh)
    body_count, record_count = _remove_bodies(folder, there, sound), _remove_records(packed)
    sync_folder(folder)
    return PackedDay(folder.parent.name, folder.name, record_count, body_count) if body_count or record_count else None


def _loose(folder: Path, pending: Collection[str], rested_at: float) -> list[Loose]:
    found = []
    for path in folder.glob("*.json"):
        with contextlib.suppress(FileNotFoundError, *UNREADABLE):
            stat, text = path.stat(), path.read_text("utf-8")
            one = Loose(path, _stamp(stat), text, FetchRecord.from_json(text))
            if stat.st_mtime < rested_at and one.record.fetch_id not in pending and "\n" not in text:
                found.append(one)
    return found


def _write_bodies(vault: Vault, folder: Path, bodies: Mapping[Path, Part]) -> set[Path]:
    """Pack those that no pack has yet and that are as received; which they are. What cannot be verified stays where it is."""
    known = {name for pack in packs.body_packs(folder) for name in packs.directory(pack)}
    chosen = [path for path in bodies if path.name not in known]
    while chosen:
        aside = vault.temporary / f"{uuid.uuid4().hex}.zip"
        packs.write_bodies(aside, chosen)
        sound = [path for path in chosen if _is_packed(bodies[path], aside)]
        if len(sound) == len(chosen):
            _move_in(aside, folder / packs.BODIES.format(number=packs.next_number(folder)))
            break
        aside.unlink()
        chosen = sound
    return set(chosen)


def _write_records(vault: Vault, folder: Path, loose: Iterable[Loose]) -> None:
    texts = {one.record.fetch_id: one.text for one in loose}
    lines = [texts[record.fetch_id] for record in in_order(one.record for one in loose)]
    aside = vault.temporary / f"{uuid.uuid4().hex}.jsonl.gz"
    packs.write_records(aside, lines)
    if [line.decode() for line in packs.lines_of(aside)] != lines:
        raise OSError(f"{aside} does not read as it was written")
    _move_in(aside, folder / packs.RECORDS.format(number=packs.next_number(folder)))


def _move_in(aside: Path, target: Path) -> None:
    aside.replace(target)
    sync_folder(target.parent)


def _remove_bodies(folder: Path, bodies: Mapping[Path, Part], sound: Collection[Path]) -> int:
    """Loose bodies that a pack has as received; how many. Whoever writes one again meanwhile writes the same bytes."""
    held = packs.body_packs(folder)
    gone = [path for path, part in bodies.items() if path in sound or any(_is_packed(part, pack) for pack in held)]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


def _remove_records(loose: Iterable[Loose]) -> int:
    """Loose records that are as they were packed; how many."""
    count = 0
    for one in loose:
        with contextlib.suppress(FileNotFoundError):
            if _stamp(one.path.stat()) == one.stamp:
                one.path.unlink()
                count += 1
    return count


def _is_packed(part: Part, pack: Path) -> bool:
    file = packs.open_in(pack, Path(part.file).name)
    if file is None:
        return False
    with file:
        return is_as_received(part, file)


def _stamp(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_ino, stat.st_mtime_ns
