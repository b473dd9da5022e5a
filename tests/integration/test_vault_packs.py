"""Old days are packed: still addressable, verifiable, in order, and whole whenever packing is cut off."""

from __future__ import annotations

import gzip
import json
import subprocess
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import lz4.frame
import pytest

from warehouse import packing, packs
from warehouse.fetches import FetchRecord, Part, new_fetch_id
from warehouse.packing import pack_days
from warehouse.vault import Vault, VaultError

SLOT = datetime(2026, 3, 24, 10, 15, tzinfo=UTC)
LATER = date(2026, 3, 26)
IN_FIRST_BODY = 113
BODIES = {"plain": b'[{"coin": "BTC"}]', "gzip": gzip.compress(b"[1]", mtime=0), "lz4": lz4.frame.compress(b"[2]"), "empty": b""}


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    vault = Vault(tmp_path / "vault")
    vault.create()
    return vault


def keep(vault: Vault, body: bytes, minutes: int = 0, scope: str = "", is_loaded: bool = True) -> FetchRecord:
    """A payload as a poll keeps it: body, then record."""
    slot = SLOT + timedelta(minutes=minutes)
    with vault.new_body("coins", slot, ".json") as writer:
        writer.write(body)
        part = writer.finish()
    finished_at = slot + timedelta(seconds=30)
    record = FetchRecord(new_fetch_id(), "coins", scope, slot, slot, finished_at, "received", (part,))
    vault.keep(record)
    if is_loaded:
        vault.forget_pending([record.fetch_id])
    return record


def pack(vault: Vault) -> list[packing.PackedDay]:
    return list(pack_days(vault, LATER, at_rest_s=0))


def names(vault: Vault) -> list[str]:
    return sorted(path.name for path in (vault.root / "coins" / "2026-03-24").iterdir())


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 0xFF
    file.write_bytes(content)


def test_a_packed_vault_answers_as_before(vault: Vault) -> None:
    kept = [keep(vault, body, 5 * number, name) for number, (name, body) in enumerate(BODIES.items())]
    texts = [vault.read(record.parts[0]) for record in kept]
    assert pack(vault) == [packing.PackedDay("coins", "2026-03-24", 4, 4)]
    assert names(vault) == ["bodies-1.zip", "records-2.jsonl.gz"]
    assert list(vault.records()) == kept
    assert list(vault.received("coins", "lz4")) == [kept[2]]
    assert vault.latest("coins", "plain") == kept[0]
    assert [vault.record("coins", record.slot, record.fetch_id) for record in kept] == kept
    assert [vault.read(record.parts[0]) for record in kept] == texts
    assert all(vault.verify(record.parts[0]) for record in kept)
    assert vault.has_history()
    assert not vault.damaged_packs()
    assert not list(vault.bodies())
    assert pack(vault) == []


def test_packs_open_without_this_project(vault: Vault, tmp_path: Path) -> None:
    record = keep(vault, BODIES["plain"])
    pack(vault)
    folder = vault.root / "coins" / "2026-03-24"
    with zipfile.ZipFile(folder / "bodies-1.zip") as found:
        (name,) = found.namelist()
        found.extract(name, tmp_path)
    assert name == Path(record.parts[0].file).name
    text = subprocess.run(["zcat", folder / "records-2.jsonl.gz"], capture_output=True, check=True).stdout
    assert json.loads(text)["fetch_id"] == record.fetch_id


def test_what_comes_after_packing_lies_beside_and_is_packed_next(vault: Vault) -> None:
    first, other = keep(vault, b"[1]"), keep(vault, b"[2]", 5)
    pack(vault)
    again, new = keep(vault, b"[1]", 10), keep(vault, b"[3]", 15)
    assert list(vault.records()) == [first, other, again, new]
    assert list(vault.received("coins")) == [new, again, other, first]
    pack(vault)
    assert names(vault) == ["bodies-1.zip", "bodies-3.zip", "records-2.jsonl.gz", "records-4.jsonl.gz"]
    assert list(vault.records()) == [first, other, again, new]
    assert all(vault.verify(record.parts[0]) for record in vault.records())


def test_only_old_days_at_rest_are_packed(vault: Vault) -> None:
    keep(vault, b"[1]")
    assert list(pack_days(vault, date(2026, 3, 24), at_rest_s=0)) == []
    assert list(pack_days(vault, LATER)) == []


def test_what_is_pending_damaged_or_without_a_record_stays_as_it_is(vault: Vault) -> None:
    waiting, spoilt = keep(vault, b"[1]", is_loaded=False), keep(vault, b"[2]", 5)
    alone = vault.path(keep(vault, b"[3]", 10).parts[0])
    next(alone.parent.glob("1025-*.json")).unlink()
    flip(vault.path(spoilt.parts[0]), 8)
    before = {path.name for path in alone.parent.glob("*.zst")}
    pack(vault)
    assert {path.name for path in alone.parent.glob("*.zst")} == before
    assert [path.name.partition("-")[0] for path in alone.parent.glob("*.json")] == ["1015"]
    assert list(vault.records()) == [waiting, spoilt]
    assert [vault.verify(record.parts[0]) for record in (waiting, spoilt)] == [True, False]


def test_a_record_written_again_counts_as_it_lies_loose(vault: Vault) -> None:
    record = keep(vault, b"[1]")
    pack(vault)
    changed = replace(record, reason="said otherwise")
    vault.keep(changed)
    vault.forget_pending([record.fetch_id])
    for _ in range(2):
        assert list(vault.records()) == [changed]
        assert vault.record("coins", record.slot, record.fetch_id) == changed
        pack(vault)


STEPS = ("write_bodies", "_move_in", "write_records", "_move_in again", "_remove_bodies", "_remove_records", "unlink")


@pytest.mark.parametrize("step", STEPS)
def test_packing_may_be_cut_off_anywhere(vault: Vault, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [keep(vault, b"[%d]" % number, 5 * number) for number in range(3)]
    with monkeypatch.context() as cut:
        cut_off(cut, step)
        with pytest.raises(KeyboardInterrupt):
            pack(vault)
    assert list(vault.records()) == kept
    assert all(vault.verify(record.parts[0]) for record in kept)
    pack(vault)
    assert not list((vault.root / "coins" / "2026-03-24").glob("*.json"))
    assert not list(vault.bodies())
    assert list(vault.records()) == kept
    assert all(vault.verify(record.parts[0]) for record in kept)


def cut_off(patch: pytest.MonkeyPatch, step: str) -> None:
    """Stop right after a step: a killed process does no more than that."""
    name, _, again = step.partition(" ")
    place = Path if name == "unlink" else packs if name.startswith("write") else packing
    real: Callable[..., object] = getattr(place, name)
    calls = []

    def then_die(*given: object, **more: object) -> object:
        done = real(*given, **more)
        calls.append(name)
        if len(calls) == (2 if again or name == "unlink" else 1):
            raise KeyboardInterrupt
        return done

    patch.setattr(place, name, then_die)


def test_a_pack_that_is_damaged_is_told_and_costs_what_it_holds(vault: Vault) -> None:
    first, other = keep(vault, b"[1]"), keep(vault, b"[2]", 5)
    pack(vault)
    bodies, records = (vault.root / "coins" / "2026-03-24" / name for name in ("bodies-1.zip", "records-2.jsonl.gz"))
    flip(bodies, IN_FIRST_BODY)
    assert vault.verify(first.parts[0]) != vault.verify(other.parts[0])
    bodies.write_bytes(bodies.read_bytes()[:-10])
    flip(records, records.stat().st_size - 3)
    assert not vault.verify(other.parts[0])
    with pytest.raises(VaultError, match="cannot be read"):
        vault.read(first.parts[0])
    assert sorted(vault.damaged_packs()) == [bodies, records]


def test_a_damaged_body_of_a_pack_is_replaced_by_one_that_comes_again(vault: Vault) -> None:
    record = keep(vault, b"[1]")
    pack(vault)
    flip(vault.root / "coins" / "2026-03-24" / "bodies-1.zip", IN_FIRST_BODY)
    assert not vault.verify(record.parts[0])
    again = keep(vault, b"[1]", 5)
    pack(vault)
    assert all(vault.verify(one.parts[0]) for one in (record, again))


def test_several_pack_and_write_into_the_same_day_at_once(vault: Vault) -> None:
    bodies = [b"[%d]" % (number % 20) for number in range(80)]
    kept: list[FetchRecord] = []
    is_over = threading.Event()

    def pack_on() -> None:
        while not is_over.is_set():
            pack(vault)

    packers = [threading.Thread(target=pack_on) for _ in range(2)]
    for packer in packers:
        packer.start()
    for number, body in enumerate(bodies):
        kept.append(keep(vault, body, number % 60, scope=str(number)))
        assert vault.verify(kept[-1].parts[0])
    is_over.set()
    for packer in packers:
        packer.join()
    pack(vault)
    assert sorted(record.scope for record in vault.records()) == sorted(record.scope for record in kept)
    assert all(vault.verify(record.parts[0]) for record in vault.records())


def test_a_missing_body_is_missing_in_packs_too(vault: Vault) -> None:
    keep(vault, b"[1]")
    pack(vault)
    part = Part("0" * 64, 1, f"coins/2026-03-24/{'0' * 64}.json.zst")
    assert not vault.verify(part)
    with pytest.raises(VaultError, match="cannot be read"):
        vault.read(part)
