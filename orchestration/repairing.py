"""What crashes and failing disks left behind: looked at, and put right by `htw doctor --fix`.

Belongs here: the words, and what takes judging fetches again. Does not: finding and mending files (`warehouse.repair`), a damaged
working file (`warehouse.connection`), other checks (`doctor`).

Nothing is thrown away but temporary files of processes that are gone: what cannot be read is kept aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from pathlib import Path

from orchestration.alerting.wording import counted
from orchestration.filling import recoverable
from orchestration.findings import Finding
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.modelling import raise_for_failures
from orchestration.pipeline import Pipeline
from orchestration.replaying import judge_with_followers
from orchestration.settings import Settings
from warehouse import repair
from warehouse.connection import WarehouseError, left_holder, moved_aside, open_reader, open_writer
from warehouse.fetches import FetchRecord
from warehouse.ledger import Verdict
from warehouse.repair import Comparison
from warehouse.small_files import DAMAGED_FOLDER
from warehouse.vault import Vault

FIX = "run `htw doctor --fix`"
VERIFIED_BY_A_LOOK = 200
LOCK_WAIT_S = 2.0
GONE_MEND = "restore the vault from a backup; where the provider still has it, `htw backfill` asks again"
UNSOUND_MEND = f"restore the file from a backup, or {FIX}: what the provider still has is then asked for again"


def look_around(settings: Settings) -> Iterator[Finding]:
    """What is left of crashes, and whether vault and ledger agree. Changes nothing; verifies the newest bodies only."""
    vault = Vault(settings.vault_dir, only_looks=True)
    yield _leftovers(repair.leftovers(settings.data_dir))
    yield _locks(settings.warehouse_file)
    yield _damaged_records(vault)
    yield from _packs(vault)
    records = list(vault.records())
    yield _vault(vault, records)
    yield _unnamed(repair.unnamed_bodies(vault, records))
    yield from _ledger(settings.warehouse_file, vault, records)
    yield from _kept(settings)


def put_right(pipeline: Pipeline) -> Iterator[Finding]:
    """Mend what can be mended, and say what was done; gives nothing where there was nothing to do. Reads the whole vault."""
    settings, vault = pipeline.settings, pipeline.vault
    vault.create()
    if count := repair.discard(repair.leftovers(settings.data_dir)):
        yield Finding("temporary files", True, f"{counted(count, 'file')} of processes that are gone removed")
    if left_holder(settings.warehouse_file, forget=True):
        yield Finding("locks", True, "the name of a process that is gone removed from the lock of the working file")
    mended, kept = repair.mend_records(vault)
    if mended:
        yield Finding("records", True, f"{counted(mended, 'record')} written again from the other copy")
    if kept:
        yield Finding("records", True, f"{counted(len(kept), 'record')} that cannot be read kept in {kept[0].parent}")
    if settings.warehouse_file.exists():
        yield from _mend_working_file(pipeline)


def _mend_working_file(pipeline: Pipeline) -> Iterator[Finding]:
    try:
        with open_writer(pipeline.settings.warehouse_file) as connection:
            repair.read_whole(connection)
            found = repair.compare(connection, pipeline.vault, pipeline.vault.records())
        pipeline.vault.mark_pending(found.forgotten)
        loaded = pipeline.load()
        changes = _unload(pipeline, found)
    except WarehouseError as error:
        yield Finding("working file", False, error.says, error.mend)
        return
    if found.forgotten:
        yield Finding("ledger", True, f"{_fetches(found.forgotten)} of the vault loaded that it did not know")
    if changes:
        says = f"{counted(len(changes), 'payload')} marked that the vault no longer has as received: {_list(changes)}"
        yield Finding("ledger", True, f"{says}; `htw heal` asks again")
    if loaded or changes:
        raise_for_failures(pipeline.build(full_refresh=bool(changes)))
        pipeline.publish()


def _unload(pipeline: Pipeline, found: Comparison) -> list[FetchRecord]:
    """Judge loaded payloads again that are no longer the bytes received, where they can still be had. Those that cannot stay in
    the facts: they were whole when they were loaded, and nothing brings them back."""
    now, changed = pipeline.clock.now(), []
    chosen = [record for record in found.unsound if record.fetch_id in found.loaded]
    chosen = [record for record in chosen if recoverable(BY_NAME[record.dataset], record.slot, now)]
    if chosen:
        with open_writer(pipeline.settings.warehouse_file) as connection:
            for record in chosen:
                changes = judge_with_followers(connection, pipeline.vault, record, now)
                if any(after.verdict is Verdict.QUARANTINED for _, after in changes):
                    changed.append(record)
    return changed


def _leftovers(paths: Sequence[Path]) -> Finding:
    if not paths:
        return Finding("temporary files", True, "none of processes that are gone")
    return Finding("temporary files", False, f"{counted(len(paths), 'file')} of processes that are gone, such as {paths[0]}", FIX)


def _locks(file: Path) -> Finding:
    if who := left_holder(file):
        return Finding("locks", True, f"{who} had the working file and is gone; its lock went with it")
    return Finding("locks", True, "no process that is gone holds any")


def _damaged_records(vault: Vault) -> Finding:
    damaged = vault.damaged_records()
    if damaged:
        return Finding("records", False, f"{counted(len(damaged), 'record')} cannot be read, such as {damaged[0]}", FIX)
    return Finding("records", True, "every record of the vault can be read")


def _packs(vault: Vault) -> Iterator[Finding]:
    """Nothing mends a pack but another copy of it; what it held and the provider still has is asked for again."""
    if damaged := vault.damaged_packs():
        says = f"{counted(len(damaged), 'pack')} of old days cannot be read to the end, such as {damaged[0]}"
        yield Finding("packs", False, says, GONE_MEND)


def _vault(vault: Vault, records: Sequence[FetchRecord]) -> Finding:
    newest = [record for record in records if record.parts][-VERIFIED_BY_A_LOOK:]
    bad = [part.file for record in newest for part in record.parts if not vault.verify(part)]
    if not bad:
        return Finding("vault", True, f"the newest {len(newest)} payloads verify against their sha256")
    says = f"{_bodies(bad)} of the newest payloads do not verify: {bad[0]}; facts may show it, a rebuild would not"
    return Finding("vault", False, says, UNSOUND_MEND)


def _unnamed(bodies: Sequence[Path]) -> Finding:
    """Nothing to be mended: without a record nobody knows what they answered. They are kept, and say at least their day."""
    if not bodies:
        return Finding("bodies", True, "each has its record")
    says = f"{_bodies(bodies)} without a record: kept, but nobody knows what they answered; such as {bodies[0]}"
    return Finding("bodies", True, says)


def _ledger(file: Path, vault: Vault, records: Sequence[FetchRecord]) -> Iterator[Finding]:
    if not file.exists():
        return
    try:
        with open_reader(file, LOCK_WAIT_S) as connection:
            found = repair.compare(connection, vault, records, newest=0)
    except WarehouseError:
        return  # told as a finding about the working file
    if found.forgotten:
        says = f"{_fetches(found.forgotten)} of the vault it does not know: {_list(found.forgotten)}"
        yield Finding("ledger", False, says, FIX)
    if found.gone:
        first = found.gone[0]
        says = (
            f"{_fetches(found.gone)} whose record is not in the vault, such as "
            f"{first.dataset} {first.scope or 'market'} {first.slot} ({first.verdict}): facts show it, a rebuild would lose it"
        )
        yield Finding("ledger", False, says, GONE_MEND)
    if not (found.forgotten or found.gone):
        yield Finding("ledger", True, f"it knows every fetch of the vault, {len(vault.pending())} of them waiting to be loaded")


def _kept(settings: Settings) -> Iterator[Finding]:
    kept = [*moved_aside(settings.warehouse_file), *(settings.vault_dir / DAMAGED_FOLDER).rglob("*.damaged-*")]
    if kept:
        yield Finding(
            "kept aside", True, f"{counted(len(kept), 'damaged file')}, to be removed when nobody wants them: {kept[-1]}"
        )


def _fetches(found: Sized) -> str:
    return counted(len(found), "fetch", "fetches")


def _bodies(found: Sized) -> str:
    return counted(len(found), "body", "bodies")


def _list(records: Sequence[FetchRecord]) -> str:
    first = records[0]
    more = f" and {len(records) - 1} more" if len(records) > 1 else ""
    return f"{first.dataset} {first.scope or 'market'} {first.slot:%Y-%m-%d %H:%M}{more}"
