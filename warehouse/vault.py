"""The vault: every byte the provider sent, kept unchanged, with the record of each fetch beside it.

Belongs here: where bodies and fetch records lie, writing and finding them. Does not: one record (`fetches`), one body (`bodies`),
what a payload means (`load`), which request made it (`orchestration.collecting`), packing old days (`packing`, `packs`).

Layout, below the vault folder: `<dataset>/<day of the slot>/<sha256>.<kind>` is a body, named by the sha256 of the bytes
received; `<dataset>/<day>/<HHMM>-<fetch_id>.json` is a fetch record, also found in `pending` until it is in the ledger. Plain
text is compressed (zstd), bodies that came compressed are kept as they came. Scopes never appear in paths: a coin may be
named anything. Of old days both are packed: a body or record that is not there under its name is looked for in the packs of its
day. What lies loose counts where both have it.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import BinaryIO

from warehouse import packs
from warehouse.bodies import BODY_SUFFIXES, COPY_CHUNK_BYTES, UNSOUND, BodyWriter, decompressed, is_as_received
from warehouse.fetches import FetchRecord, Part, finish_of, in_order, parts_of
from warehouse.small_files import LOGGER, UNREADABLE, is_readable, read_small, sync_folder, write_durably

DOCTOR_MEND = "`htw doctor` checks the vault"


class VaultError(Exception):
    """A body or record in the vault is missing or does not verify. `htw doctor` lists them."""


class Vault:
    """All payloads ever received, below one folder. Safe to use from several processes: every write is a rename.

    Records that cannot be read are passed over, and kept aside unless one `only_looks`.
    """

    def __init__(self, root: Path, only_looks: bool = False) -> None:
        self.root, self._only_looks = root, only_looks
        self.temporary = root / "tmp"
        self._pending, self._begun = root / "pending", root / "begun"

    def create(self) -> None:
        """Make the folders; may be called again."""
        for folder in (self.temporary, self._pending, self._begun):
            folder.mkdir(parents=True, exist_ok=True)

    def new_body(self, dataset: str, slot: datetime, suffix: str) -> BodyWriter:
        """A writer for one body of a dataset's slot; `suffix` is the kind of text inside, `.csv` or `.json`."""
        return BodyWriter(self.root, self.temporary, self._day(dataset, slot), suffix)

    def keep(self, record: FetchRecord) -> None:
        """Write a fetch record durably. After this returns, the fetch can be replayed from the vault alone, and is pending
        until `forget_pending`."""
        folder = self._day(record.dataset, record.slot)
        folder.mkdir(parents=True, exist_ok=True)
        temporary, again = (self.temporary / f"{record.fetch_id}{suffix}.json" for suffix in ("", ".pending"))
        with temporary.open("w", encoding="utf-8") as file:
            file.write(record.to_json())
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, again)
        again.replace(self._pending / temporary.name)
        temporary.replace(folder / f"{record.slot:%H%M}-{record.fetch_id}.json")
        for changed in (self._pending, folder):
            sync_folder(changed)

    def pending(self) -> list[FetchRecord]:
        """Records kept since they were last said to be in the ledger, in the order the fetches finished."""
        return in_order(filter(None, map(self._read, self._pending.glob("*.json"))))

    def mark_pending(self, records: Iterable[FetchRecord]) -> None:
        """Say that fetches are not in the ledger, although they were thought to be."""
        for record in records:
            write_durably(self.pending_file(record.fetch_id), record.to_json())

    def forget_pending(self, fetch_ids: Iterable[str]) -> None:
        """Say that fetches are in the ledger."""
        for fetch_id in fetch_ids:
            self.pending_file(fetch_id).unlink(missing_ok=True)

    def begun(self, key: str) -> tuple[Part, ...]:
        """The first pages of a payload whose fetch was cut off, by whatever tells payloads apart; none where they are damaged."""
        parts = read_small(self._begun_file(key), parts_of, self.root) or ()
        return parts if all(map(self.verify, parts)) else ()

    def note_begun(self, key: str, parts: Sequence[Part]) -> None:
        """Remember durably the first pages of a payload; none to forget them."""
        path = self._begun_file(key)
        if not parts:
            path.unlink(missing_ok=True)
            return
        write_durably(path, json.dumps([asdict(part) for part in parts]))

    def _begun_file(self, key: str) -> Path:
        return self._begun / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"

    def records(self, dataset: str | None = None, since: date | None = None) -> Iterator[FetchRecord]:
        """Every fetch record (of one dataset, of slots since a UTC day), in the order the fetches finished."""
        first = since.isoformat() if since else ""
        days = [day for day in self.root.glob(f"{dataset or '*'}/*-*-*") if day.name >= first]
        streams = (stream for day in days for stream in self._streams(day))
        yield from heapq.merge(*streams, key=finish_of)

    def _streams(self, day: Path) -> Iterator[Iterator[FetchRecord]]:
        """The records of a day, in order in each stream. Loose ones first: one that is packed meanwhile is then found there."""
        loose = in_order(filter(None, map(self._read, day.glob("*.json"))))
        known = {record.fetch_id for record in loose}
        yield iter(loose)
        for pack in packs.record_packs(day):
            yield self._packed(pack, known)

    def _packed(self, pack: Path, without: Collection[str] = ()) -> Iterator[FetchRecord]:
        for line in packs.lines_of(pack):
            if (record := self._parsed(line, pack)) and record.fetch_id not in without:
                yield record

    def _parsed(self, line: bytes, pack: Path) -> FetchRecord | None:
        try:
            return FetchRecord.from_json(line.decode())
        except UNREADABLE as error:
            LOGGER.warning("a record in %s cannot be read (%s) and is left out", pack, error)
            return None

    def damaged_packs(self) -> list[Path]:
        """Packs that cannot be read from end to end. Touches nothing."""
        found = (pack for day in self.root.glob("*/*-*-*") for pack in (*packs.body_packs(day), *packs.record_packs(day)))
        return [pack for pack in found if not packs.is_whole(pack)]

    def damaged_records(self) -> list[Path]:
        """The files of records that cannot be read. Touches nothing."""
        files = [*self._pending.glob("*.json"), *self.root.glob("*/*-*-*/*.json")]
        return [path for path in files if not is_readable(path, FetchRecord.from_json)]

    def bodies(self) -> Iterator[Path]:
        """The file of every body that is not packed."""
        found = (path for path in self.root.glob("*/*-*-*/*") if path.suffix in BODY_SUFFIXES)
        yield from (path for path in found if not packs.is_record_pack(path))

    def has_history(self) -> bool:
        """Whether any record was in the ledger at some time: is there and not pending. Looks no further than the first."""
        if any(packs.record_packs(day) for day in self.root.glob("*/*-*-*")):
            return True
        waiting = {path.stem for path in self._pending.glob("*.json")}
        return any(path.stem.partition("-")[2] not in waiting for path in self.root.glob("*/*-*-*/*.json"))

    def record(self, dataset: str, slot: datetime, fetch_id: str) -> FetchRecord:
        """The record of one fetch. Raises `VaultError` where it is not there or cannot be read."""
        path = self._day(dataset, slot) / f"{slot.astimezone(UTC):%H%M}-{fetch_id}.json"
        if (record := self._read(path) or self._packed_record(path.parent, fetch_id)) is None:
            raise VaultError(f"the record {path.relative_to(self.root)} is not there; {DOCTOR_MEND}")
        return record

    def _packed_record(self, day: Path, fetch_id: str) -> FetchRecord | None:
        for pack in packs.record_packs(day):
            if line := packs.texts_by_id(pack).get(fetch_id):
                return self._parsed(line, pack)
        return None

    def latest(self, dataset: str, scope: str = "") -> FetchRecord | None:
        """The record of the newest payload received for a dataset and scope, or None."""
        return next(self.received(dataset, scope), None)

    def received(self, dataset: str, scope: str = "") -> Iterator[FetchRecord]:
        """The records of the payloads received for a dataset and scope, newest slot first."""
        for day in sorted((self.root / dataset).glob("*-*-*"), reverse=True):
            for record in self._newest_first(day):
                if record.outcome == "received" and record.scope == scope:
                    yield record

    def _newest_first(self, day: Path) -> Iterator[FetchRecord]:
        loose = {path.stem: path for path in day.glob("*.json")}
        found = (record for pack in packs.record_packs(day) for record in self._packed(pack))
        packed = {f"{record.slot:%H%M}-{record.fetch_id}": record for record in found}
        for name in sorted(loose.keys() | packed.keys(), reverse=True):
            record = (self._read(loose[name]) if name in loose else None) or packed.get(name)
            if record:
                yield record

    def pending_file(self, fetch_id: str) -> Path:
        return self._pending / f"{fetch_id}.json"

    def _read(self, path: Path) -> FetchRecord | None:
        if self._only_looks and not is_readable(path, FetchRecord.from_json):
            return None
        return read_small(path, FetchRecord.from_json, self.root)

    def path(self, part: Part) -> Path:
        """Where a body lies, or lay before it was packed."""
        return self.root / part.file

    def read(self, part: Part) -> bytes:
        """The text of a body: the bytes received, decompressed where they came or were stored compressed.

        Raises `VaultError` when the file is missing or cannot be decompressed.
        """
        with self.open(part) as stream:
            return stream.read()

    @contextlib.contextmanager
    def open(self, part: Part) -> Iterator[BinaryIO]:
        """Stream the decompressed text of a body."""
        suffix = self.path(part).suffix
        with self._unless_unsound(part), self.stored(part) as file, decompressed(file, suffix) as stream:
            yield stream

    @contextlib.contextmanager
    def _unless_unsound(self, part: Part) -> Iterator[None]:
        try:
            yield
        except UNSOUND as error:
            raise VaultError(f"{part.file} cannot be read ({error}); {DOCTOR_MEND}") from error

    def held(self, part: Part, target: Path) -> Path:
        """A body as it is stored, as a file of the caller's that nobody packs meanwhile; `target`. Raises `VaultError`."""
        try:
            os.link(self.path(part), target)
        except FileNotFoundError:
            with self._unless_unsound(part), self.stored(part) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file, COPY_CHUNK_BYTES)
        return target

    def stored(self, part: Part) -> BinaryIO:
        """A body as it is stored, out of its file or a pack, to be closed. Raises `FileNotFoundError` where it is in neither."""
        path = self.path(part)
        try:
            return path.open("rb")
        except FileNotFoundError:
            # Whoever packs removes a file only once the pack is there.
            if (packed := packs.open_body(path.parent, path.name)) is None:
                raise
            return packed

    def verify(self, part: Part) -> bool:
        """Whether the stored body still is the bytes that were received."""
        try:
            file = self.stored(part)
        except OSError:
            return False
        with file:
            return is_as_received(part, file)

    def _day(self, dataset: str, slot: datetime) -> Path:
        return self.root / dataset / slot.astimezone(UTC).strftime("%Y-%m-%d")
