"""The vault kept on an object store too: sent there, and fetched from there, file by file, each verified on its way.

Belongs here: which files a copy has, which of them are there already, moving the others. Does not: speaking to the store
(`object_store`), loading what was fetched (`htw rebuild`), copies to folders, for which any tool does.

Bodies, records and packs of the days are copied, and the name of the publisher; what is under way is not. Files never change once
they are there, but for a record that is written again with more in it, so names and sizes tell what is lacking: a copy that was
cut off goes on where it was, and one that is made every night costs what came since. Nothing is ever removed on either side, and
nothing is written over but a record by a longer one. The store keeps lying loose what was packed after it was sent; fetched is
only what no pack of the day holds, because a record may have been closed in between.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from warehouse import packs
from warehouse.bodies import BODY_SUFFIXES, is_as_received
from warehouse.fetches import FetchRecord, Part
from warehouse.lake_places import Bucket
from warehouse.object_store import AT_ONCE, Store, StoreError
from warehouse.publisher import FILE as PUBLISHER_FILE
from warehouse.publisher import publisher_of
from warehouse.small_files import is_readable, sync_folder
from warehouse.vault import Vault

OF_DAYS = "*/[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]/*"
AGAIN = "run the command again: it goes on where it was"
# Files that are packed while a copy is made are looked for again under their packs.
MOST_ROUNDS = 5

OnFile = Callable[[int, int], None]
Sizes = Mapping[str, int]


@dataclass(frozen=True)
class Copied:
    """What the target has of the source now, and how much of it was written this time."""

    file_count: int
    byte_count: int
    written_files: int
    written_bytes: int


def send(vault: Vault, bucket: Bucket, on_file: OnFile) -> Copied:
    """Bring a copy of the vault on a store up to the vault; `on_file` is told how many of how many are written.

    May be called again at any time, also while polls go on. The store verifies each file by its sha256. Raises `StoreError`.
    """
    if not any(vault.root.glob(OF_DAYS)):
        raise StoreError(
            f"there is nothing to send in {vault.root}", "see that HTW_DATA_DIR names the folder that is polled into"
        )
    store, own, written = Store(bucket), publisher_of(vault.root), dict[str, int]()
    if (theirs := store.text(PUBLISHER_FILE)) and theirs != own:
        raise StoreError(f"{bucket} has a copy of another vault, whose publisher is {theirs}", "name another prefix")
    if not theirs:
        # Whoever else is to send there must see it from the first file on.
        store.put(PUBLISHER_FILE, vault.root / PUBLISHER_FILE)
        written[PUBLISHER_FILE] = len(own)
    for _ in range(MOST_ROUNDS):
        held = sizes_of(vault)
        if not (wanted := lacking(held, store.sizes())):
            break
        _each(wanted, lambda name: _give(store, name, vault), on_file)
        written |= wanted
    return _compared(held, store.sizes(), written, str(bucket))


def fetch(bucket: Bucket, vault: Vault, on_file: OnFile) -> Copied:
    """Bring a vault up to a copy of it on a store. What is not as its name says is not kept. Raises `StoreError`."""
    store = Store(bucket)
    held = {name: size for name, size in store.sizes().items() if is_of_a_copy(name)}
    if not held:
        raise StoreError(f"there is no copy of a vault at {bucket}", "see that its prefix is the one it was sent to")
    if (vault.root / PUBLISHER_FILE).exists() and publisher_of(vault.root) != store.text(PUBLISHER_FILE):
        raise StoreError(
            f"{bucket} has a copy of another vault than {vault.root}", "name an empty data folder, or another prefix"
        )
    vault.create()
    packed = {name: size for name, size in held.items() if is_pack(name) or name == PUBLISHER_FILE}
    first = lacking(packed, sizes_of(vault))
    _each(first, lambda name: _take(store, name, vault), on_file)
    loose = _without_packed(vault, held, packed)
    second = lacking(loose, sizes_of(vault))
    _each(second, lambda name: _take(store, name, vault), on_file)
    return _compared({**packed, **loose}, sizes_of(vault), {**first, **second}, str(vault.root))


def sizes_of(vault: Vault) -> dict[str, int]:
    """Every file that a copy has, by its name below the vault, with its bytes."""
    sizes = {}
    for path in (*vault.root.glob(OF_DAYS), *vault.root.glob(PUBLISHER_FILE)):
        name = path.relative_to(vault.root).as_posix()
        with contextlib.suppress(FileNotFoundError):
            if is_of_a_copy(name):
                sizes[name] = path.stat().st_size
    return sizes


def is_of_a_copy(name: str) -> bool:
    """Whether a file of this name, below a vault, belongs to a copy of it."""
    is_of_a_day = name.count("/") == 2 and ".." not in name.split("/")
    return name == PUBLISHER_FILE or (is_of_a_day and name.endswith((*BODY_SUFFIXES, ".json", ".zip")))


def is_pack(name: str) -> bool:
    """Whether a file of this name holds the bodies, or the records, of a day."""
    return name.endswith(".zip") or packs.is_record_pack(Path(name))


def lacking(held: Sizes, there: Sizes) -> dict[str, int]:
    """What the target lacks. Raises `StoreError` where two packs of one name differ."""
    if others := [name for name, size in held.items() if is_pack(name) and there.get(name, size) != size]:
        raise StoreError(
            f"{others[0]} is another pack on either side: two machines went on from one vault",
            "name another prefix for one of them",
        )
    return {name: size for name, size in held.items() if not _is_there(name, size, there)}


def _is_there(name: str, size: int, there: Sizes) -> bool:
    """A body's name says what is in it, however well it is compressed; a record is written again with more in it."""
    return there.get(name, -1) >= size if name.endswith(".json") else name in there


def _without_packed(vault: Vault, held: Sizes, packed: Collection[str]) -> dict[str, int]:
    """The loose files of a copy that the packs of their day do not hold; the vault has the packs already."""
    known = dict[str, set[str]]()
    for day in {name.rpartition("/")[0] for name in held if name not in packed}:
        folder = vault.root / day
        known[day] = {name for pack in packs.body_packs(folder) for name in packs.directory(pack)}
        known[day] |= {fetch_id for pack in packs.record_packs(folder) for fetch_id in packs.texts_by_id(pack)}
    return {
        name: size for name, size in held.items() if name not in packed and not _key_of(name) & known[name.rpartition("/")[0]]
    }


def _key_of(name: str) -> set[str]:
    """By what packs know a loose file: a body by its name, a record by its fetch."""
    file = Path(name)
    return {file.name, file.stem.partition("-")[2]}


def _each(wanted: Sizes, work: Callable[[str], None], on_file: OnFile) -> None:
    """Do the work for every name, a few at a time; the first error ends it. Bodies come before the records that name them."""
    done = 0
    for are_records in (False, True):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                for _ in pool.map(work, sorted(name for name in wanted if name.endswith(".json") is are_records)):
                    done += 1
                    on_file(done, len(wanted))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _give(store: Store, name: str, vault: Vault) -> None:
    with contextlib.suppress(FileNotFoundError):  # it was packed meanwhile
        store.put(name, vault.root / name)


def _take(store: Store, name: str, vault: Vault) -> None:
    target = vault.root / name
    with tempfile.TemporaryDirectory(dir=vault.temporary) as folder:
        aside = Path(folder) / target.name
        with aside.open("wb") as file:
            store.read(name, file)
            file.flush()
            os.fsync(file.fileno())
        if not _is_sound(aside):
            raise StoreError(f"{name} is damaged on the store", "remove it there, and send it again from a vault that has it")
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.replace(target)
        sync_folder(target.parent)


def _is_sound(path: Path) -> bool:
    """Whether a file is what its name says: a body by its sha256, a record by being readable, a pack by both."""
    if path.name == PUBLISHER_FILE:
        return True
    if path.suffix == ".json":
        return is_readable(path, FetchRecord.from_json)
    if packs.is_record_pack(path):
        return packs.is_whole(path)
    if is_pack(path.name):
        return packs.is_whole(path) and all(map(partial(_is_in_pack, path), packs.directory(path)))
    with path.open("rb") as file:
        return _is_body(path.name, file)


def _is_in_pack(path: Path, name: str) -> bool:
    file = packs.open_in(path, name)
    with file or contextlib.nullcontext():
        return file is not None and _is_body(name, file)


def _is_body(name: str, file: BinaryIO) -> bool:
    return is_as_received(Part(name.partition(".")[0], 0, name), file)


def _compared(held: Sizes, there: Sizes, written: Sizes, where: str) -> Copied:
    if missing := lacking(held, there):
        raise StoreError(f"{len(missing)} files are not at {where}, such as {next(iter(missing))}", AGAIN)
    return Copied(len(held), sum(held.values()), len(written), sum(written.values()))
