"""What crashes and bad disks leave behind: found, told, put right; nothing of the vault is lost."""

from __future__ import annotations

import logging
import os
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from orchestration.clock import SteppedClock
from orchestration.findings import Finding
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.landing import land_all
from orchestration.modelling import raise_for_failures
from orchestration.partitions import START_FILE, first_slot
from orchestration.pipeline import Pipeline
from orchestration.rebuilding import rebuild
from orchestration.registering import prepare
from orchestration.repairing import look_around, put_right
from orchestration.settings import load_settings
from sandbox import Sandbox, SandboxSettings, running_sandbox
from tests.pipeline.conftest import dumped
from warehouse.connection import (
    DamagedFileError,
    OtherVersionError,
    WarehouseError,
    connect,
    moved_aside,
    open_reader,
    open_writer,
    wal_of,
)
from warehouse.coverage import missing_slots
from warehouse.fetches import FetchRecord
from warehouse.ledger import Verdict, naive
from warehouse.plans import PlanBook
from warehouse.quarantine import DecisionBook
from warehouse.repair import ABANDONED_AFTER_S, leftovers, mend_records

DAY = datetime(2026, 3, 26, tzinfo=UTC)
NEXT = DAY + timedelta(minutes=5)
DATASETS = ("coins", "order_snapshots", "segments")
ORDERS = (BY_NAME["order_snapshots"],)
BLOCK_BYTES = 4096
HASH_FACTOR = 0xBF58476D1CE4E5B9
MASK = (1 << 64) - 1
UNSOUND = "quarantined: “is not there as it was received”"
Said = Callable[..., None]


@dataclass
class House:
    """One data folder and the provider it polls."""

    pipeline: Pipeline
    sandbox: Sandbox

    @property
    def file(self) -> Path:
        return self.pipeline.settings.warehouse_file

    @property
    def data_dir(self) -> Path:
        return self.pipeline.settings.data_dir

    def copied(self, target: Path) -> House:
        shutil.copytree(self.data_dir, target, symlinks=True)
        settings = self.pipeline.settings.model_copy(update={"data_dir": target, "warehouse_url": None})
        return House(Pipeline(settings, self.pipeline.clock), self.sandbox)

    def poll(self, slot: datetime, *datasets: str) -> None:
        self.sandbox.clock.set(slot + timedelta(seconds=5))
        self.pipeline.poll([BY_NAME[name] for name in datasets], slot, beyond_plan=True)

    def fetch(self, slot: datetime) -> list[FetchRecord]:
        """Fetches in the vault, waiting to be loaded: what a process leaves that was killed before its load."""
        file, hidden = self.file, self.file.with_name("hidden")
        file.rename(hidden)
        with pytest.raises(WarehouseError, match="is not there, but the vault has fetches"):
            self.poll(slot, "order_snapshots")
        hidden.rename(file)
        return [record for record in self.pipeline.vault.pending() if record.parts]

    def build(self, anew: bool = False) -> dict[str, list[tuple[Any, ...]]]:
        raise_for_failures(self.pipeline.build())
        self.pipeline.publish(anew)
        return self.facts()

    def facts(self) -> dict[str, list[tuple[Any, ...]]]:
        return dumped(self.pipeline.settings.published_file)

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with open_reader(self.file) as connection:
            return connection.execute(sql, list(values)).fetchall()

    def found(self, subject: str) -> Finding:
        return next(finding for finding in look_around(self.pipeline.settings) if finding.subject == subject)

    def mended(self) -> list[Finding]:
        return list(put_right(self.pipeline))


@pytest.fixture(scope="module")
def polled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Two coins, polled once."""
    with running_sandbox(SandboxSettings(coins=4, positions=200, orders=120, start=DAY, clock="manual")) as sandbox:
        settings = load_settings(
            api_url=sandbox.api_url, api_token=SecretStr(sandbox.token), coins="BTC,ETH", plan="1000000/day",
            data_dir=tmp_path_factory.mktemp("repair") / "data", datasets=",".join(DATASETS), warehouse_url=None,
        )  # fmt: skip
        house = House(Pipeline(settings, SteppedClock(sandbox.clock.now, sandbox.clock.set)), sandbox)
        house.poll(DAY, *DATASETS)
        yield house


@pytest.fixture(scope="module")
def built(polled: House, tmp_path_factory: pytest.TempPathFactory) -> House:
    """The same, built and published."""
    house = polled.copied(tmp_path_factory.mktemp("built") / "data")
    house.build()
    return house


@pytest.fixture
def house(polled: House, tmp_path: Path) -> House:
    """A copy to be damaged."""
    polled.sandbox.clock.set(DAY + timedelta(seconds=10))
    return polled.copied(tmp_path / "data")


@pytest.fixture
def built_house(built: House, tmp_path: Path) -> House:
    """A copy to be damaged, built and published."""
    built.sandbox.clock.set(DAY + timedelta(seconds=10))
    return built.copied(tmp_path / "built")


def flip(path: Path, at: float = 0.5) -> None:
    """Turn one bit over, so far into the file."""
    damaged = bytearray(path.read_bytes())
    damaged[int((len(damaged) - 1) * at)] ^= 0x10
    path.write_bytes(damaged)


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def age(path: Path, seconds: float = ABANDONED_AFTER_S + 60) -> None:
    moment = time.time() - seconds
    os.utime(path, (moment, moment), follow_symlinks=False)


def words(findings: list[Finding]) -> str:
    return " ".join(f"{finding.subject}: {finding.says} {finding.mend}" for finding in findings)


@pytest.mark.proves("temporary-orphaned", sees="`htw doctor`: “of processes that are gone”; the next load removes them")
def test_temporary_files_of_the_dead_go_and_those_of_the_living_stay(house: House, said: Said) -> None:
    vault = house.pipeline.vault
    unpacked = vault.temporary / "tmpabc"
    for folder in (unpacked, house.data_dir / "published"):
        folder.mkdir()
    dead = [
        vault.temporary / "0123", unpacked / "0", house.data_dir / "published" / "hypertracker-20260324T000000000000Z.unfinished",
        vault.root / "plans" / "20260324T000000Z.77.tmp",
    ]  # fmt: skip
    for path in dead:
        path.write_text("half")
        age(path)
    age(unpacked)
    living = vault.temporary / "4567"
    living.write_text("half")
    said(house.found("temporary files").says)
    house.pipeline.load()
    assert [path.name for path in vault.temporary.iterdir()] == [living.name]
    said(words(house.mended()))
    assert not any(path.exists() for path in dead)
    assert living.exists()
    assert leftovers(house.data_dir) == []
    assert house.found("temporary files").is_well


@pytest.mark.proves("record-half-written", sees="“is damaged”, and where it was moved; every other record is loaded")
def test_a_half_written_record_costs_itself_only(house: House, caplog: pytest.LogCaptureFixture, said: Said) -> None:
    first, second = house.fetch(NEXT)
    vault = house.pipeline.vault
    (of_the_day,) = vault.root.glob(f"*/*/*-{first.fetch_id}.json")
    for path in (vault.pending_file(first.fetch_id), of_the_day):
        halve(path) if path.stat().st_nlink == 1 or path == of_the_day else None
    with caplog.at_level(logging.WARNING):
        outcomes = house.pipeline.load()
    said(caplog.text)
    assert [o.judgement.verdict for o in outcomes if o.record.fetch_id == second.fetch_id] == [Verdict.LOADED]
    assert first.fetch_id not in {outcome.record.fetch_id for outcome in outcomes}
    if of_the_day.exists():
        assert not house.found("records").is_well
        assert "kept in" in words(house.mended())
    assert house.found("records").is_well
    assert len(list((vault.root / "damaged").rglob(f"*{first.fetch_id}*"))) == 2
    assert all(record.fetch_id != first.fetch_id for record in vault.records())


@pytest.mark.parametrize("which", ["pending", "day"])
@pytest.mark.proves("record-half-written", sees="nothing, where the record is sound at its other place: it is written again")
def test_a_record_damaged_at_one_place_is_mended_from_the_other(house: House, which: str) -> None:
    first, _ = house.fetch(NEXT)
    vault = house.pipeline.vault
    (of_the_day,) = vault.root.glob(f"*/*/*-{first.fetch_id}.json")
    damaged = vault.pending_file(first.fetch_id) if which == "pending" else of_the_day
    half = damaged.read_bytes()[:100]
    damaged.unlink()
    damaged.write_bytes(half)
    if which == "day":
        assert mend_records(vault) == (1, [])
    outcomes = house.pipeline.load()
    loaded = {row[0] for row in house.rows("select fetch_id from ops.fetches where verdict = 'loaded'")}
    assert first.fetch_id in loaded | {outcome.record.fetch_id for outcome in outcomes}
    assert first in list(vault.records())


@pytest.mark.proves("record-missing", sees="`htw doctor`: “without a record: kept, but nobody knows what they answered”")
def test_a_body_without_its_record_is_told_and_kept(house: House, said: Said) -> None:
    record = next(record for record in house.pipeline.vault.records() if record.dataset == "segments" and record.parts)
    body = house.pipeline.vault.path(record.parts[0])
    next(house.pipeline.vault.root.glob(f"*/*/*-{record.fetch_id}.json")).unlink()
    assert house.found("bodies").says == "each has its record", "it may be about to be named"
    age(body)
    said(house.found("bodies").says)
    house.mended()
    assert body.exists()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(halve, id="cut", marks=pytest.mark.proves("body-half-written", sees=UNSOUND)),
        pytest.param(flip, id="flipped", marks=pytest.mark.proves("body-bit-flipped", sees=UNSOUND)),
        pytest.param(Path.unlink, id="gone"),
    ],
)  # fmt: skip
def test_a_body_that_does_not_verify_is_not_loaded(house: House, damage: Callable[[Path], None], said: Said) -> None:
    first, second = house.fetch(NEXT)
    body = house.pipeline.vault.path(first.parts[0])
    sound = body.read_bytes()
    damage(body)
    verdicts = {o.record.fetch_id: o.judgement for o in house.pipeline.load()}
    said(verdicts[first.fetch_id].reason)
    assert verdicts[first.fetch_id].verdict is Verdict.QUARANTINED
    assert verdicts[second.fetch_id].verdict is Verdict.LOADED
    assert "htw heal" in verdicts[first.fetch_id].mend
    (missing,) = missing_of(house, first)
    assert missing.recoverable_until is not None
    body.write_bytes(sound)
    assert house.rows("select count(*) from raw.order_snapshots where _slot = ? and _scope = ?", naive(NEXT), first.scope) == [
        (0,)
    ]


def missing_of(house: House, record: FetchRecord) -> list[Any]:
    until = record.slot + timedelta(hours=1)
    with open_reader(house.file) as connection:
        missing = missing_slots(connection, record.slot - timedelta(hours=1), until, [record.dataset])
    return [slot for slot in missing if (slot.scope, slot.slot) == (record.scope, record.slot)]


@pytest.mark.long
@pytest.mark.proves(
    "body-bit-flipped", sees="`htw doctor --fix`, where it was loaded: “`htw heal` asks again”; else its facts stay"
)
def test_a_loaded_payload_that_rots_is_asked_for_again_where_it_can_still_be_had(built_house: House, said: Said) -> None:
    house = built_house
    records = [record for record in house.pipeline.vault.records() if record.parts and record.dataset != "state_status"]
    orders = next(record for record in records if record.dataset == "order_snapshots")
    coins = next(record for record in records if record.dataset == "coins")
    before = house.facts()
    house.sandbox.clock.set(DAY + timedelta(minutes=20))
    for record in (orders, coins):
        flip(house.pipeline.vault.path(record.parts[0]))
    assert "facts may show it, a rebuild would not" in house.found("vault").says
    said(words(house.mended()))
    (missing,) = missing_of(house, orders)
    assert (missing.verdict, missing.recoverable_until is None) == ("quarantined", False)
    after = house.facts()
    assert set(after["fct_order_liquidity"]) < set(before["fct_order_liquidity"])
    assert after["fct_coin_metrics"] == before["fct_coin_metrics"] != []
    assert house.rows("select verdict from ops.fetches where fetch_id = ?", coins.fetch_id) == [("loaded",)]


@pytest.mark.proves(
    "ledger-without-payload", sees="`htw doctor`: “whose record is not in the vault”: “facts show it, a rebuild would lose it”"
)
def test_what_only_the_ledger_has_is_told(house: House, said: Said) -> None:
    record = next(record for record in house.pipeline.vault.records() if record.dataset == "segments" and record.parts)
    next(house.pipeline.vault.root.glob(f"*/*/*-{record.fetch_id}.json")).unlink()
    house.pipeline.vault.path(record.parts[0]).unlink()
    finding = house.found("ledger")
    said(finding.says)
    assert "segments market 2026-03-26 00:00 (loaded)" in finding.says
    assert not finding.is_well
    assert "backup" in finding.mend


@pytest.mark.long
@pytest.mark.proves("payload-without-ledger", sees="`htw doctor`: “of the vault it does not know”; `htw doctor --fix` loads it")
def test_what_only_the_vault_has_is_loaded_when_asked(built_house: House, said: Said) -> None:
    house = built_house
    records = house.fetch(NEXT)
    house.pipeline.vault.forget_pending([record.fetch_id for record in house.pipeline.vault.pending()])
    assert house.pipeline.load() == []
    finding = house.found("ledger")
    said(finding.says)
    assert finding.mend == "run `htw doctor --fix`"
    assert "loaded that it did not know" in words(house.mended())
    shown = {row[0] for row in house.rows("select fetch_id from ops.fetches where verdict = 'loaded'")}
    assert {record.fetch_id for record in records} <= shown
    assert house.found("ledger").is_well


def uncheckpointed(house: House) -> list[FetchRecord]:
    """Fetches loaded and committed by a process that died before its checkpoint: they are in the log only."""
    records = house.fetch(NEXT)
    connection = connect(house.file)
    connection.execute("pragma disable_checkpoint_on_shutdown")
    prepare(connection)
    list(land_all(connection, house.pipeline.vault, house.pipeline.vault.pending()))
    connection.close()
    assert wal_of(house.file).stat().st_size > 1000
    return records


LOADED = "select payload_id, row_count from ops.payloads order by all"
ROWS = "select * exclude (_load_seq) from raw.order_snapshots order by all"


@pytest.mark.proves("wal-truncated", sees="nothing: what was cut off is loaded again from the vault")
def test_a_log_cut_anywhere_loses_nothing(house: House, tmp_path: Path) -> None:
    whole = house.copied(tmp_path / "whole")
    uncheckpointed(house)
    for record in house.pipeline.vault.pending():
        whole.pipeline.vault.keep(record)
        for part in record.parts:
            target = whole.pipeline.vault.path(part)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(house.pipeline.vault.path(part), target)
    whole.pipeline.load()
    expected = [whole.rows(sql) for sql in (LOADED, ROWS)]
    log, file = wal_of(house.file).read_bytes(), house.file.read_bytes()
    waiting = house.pipeline.vault.pending()
    for share in (0.0, 0.1, 0.5, 0.9, 0.999):
        house.file.write_bytes(file)
        wal_of(house.file).write_bytes(log[: int(len(log) * share)])
        house.pipeline.vault.mark_pending(waiting)
        house.pipeline.load()
        assert [house.rows(sql) for sql in (LOADED, ROWS)] == expected, share


@pytest.mark.proves("wal-alien", sees="“is damaged” and “moved aside to”; “run `htw rebuild`: the vault has everything”")
def test_the_log_of_another_file_is_refused_and_moved_aside_with_the_file(house: House, tmp_path: Path, said: Said) -> None:
    other = tmp_path / "other.duckdb"
    with open_writer(other):
        pass
    connection = connect(other)
    connection.execute("pragma disable_checkpoint_on_shutdown")
    connection.execute("create schema raw")
    connection.execute("create table raw.coins as select 1 as a")
    connection.close()
    shutil.copyfile(wal_of(other), wal_of(house.file))
    with pytest.raises(DamagedFileError) as caught:
        house.pipeline.load()
    said(caught.value)
    (kept,) = moved_aside(house.file)
    assert wal_of(kept).read_bytes() == wal_of(other).read_bytes()
    assert not house.file.exists()
    assert not wal_of(house.file).exists()


@pytest.mark.proves(
    "wal-alien", sees="the same for a log that is older or newer than the file, as after half a restore from a backup"
)
def test_a_file_restored_without_its_log_is_noticed(house: House) -> None:
    backup = house.file.read_bytes()
    house.pipeline.load()
    with open_writer(house.file) as connection:
        connection.execute("create table later as select 1 as a")
    uncheckpointed(house)
    house.file.write_bytes(backup)
    with pytest.raises(DamagedFileError, match="does not match the database file"):
        house.pipeline.load()


@pytest.mark.long
@pytest.mark.proves(
    "database-corrupt", sees="“is damaged” and “moved aside to”; polls go on filling the vault until “run `htw rebuild`” was done"
)
def test_a_damaged_file_is_moved_aside_and_the_rebuild_has_what_was_polled_meanwhile(
    built_house: House, tmp_path: Path, said: Said
) -> None:
    house = built_house
    before, sound = house.facts(), house.file.read_bytes()
    flip(house.file, at=6000 / len(sound))
    with pytest.raises(DamagedFileError) as caught:
        house.poll(NEXT, "order_snapshots")
    said(caught.value)
    for act in (lambda: house.poll(NEXT + timedelta(minutes=5), "order_snapshots"), house.pipeline.build, house.pipeline.publish):
        with pytest.raises(DamagedFileError, match=r"was damaged and is kept as .*; run `htw rebuild`"):
            act()
    assert house.facts() == before, "readers keep what they had"
    assert sum(record.dataset == "order_snapshots" for record in house.pipeline.vault.pending()) == 4
    undamaged = house.copied(tmp_path / "undamaged")
    undamaged.file.write_bytes(sound)
    undamaged.pipeline.load()
    rebuild(house.pipeline)
    assert house.facts() == undamaged.build(anew=True)
    assert len(house.facts()["fct_order_liquidity"]) > len(before["fct_order_liquidity"])
    assert house.found("ledger").is_well


def test_damage_that_no_load_meets_is_met_by_the_thorough_look(house: House) -> None:
    blocks = house.file.stat().st_size // (256 << 10)
    for at in range(2, blocks):
        flip(house.file, at=(at * (256 << 10) + 100_000) / house.file.stat().st_size)
    (finding,) = [finding for finding in house.mended() if not finding.is_well]
    assert "moved aside to" in finding.says
    assert finding.mend.startswith("run `htw rebuild`")


def checksum(block: bytes) -> int:
    """DuckDB's, of a header."""
    result = 5381
    for (word,) in struct.iter_unpack("<Q", block):
        result ^= word * HASH_FACTOR & MASK
    return result


@pytest.mark.proves("duckdb-version", sees="“was written by another version of DuckDB”, and “nothing was written”")
def test_a_file_of_another_version_is_left_alone(house: House, said: Said) -> None:
    content = bytearray(house.file.read_bytes())
    (stored,) = struct.unpack_from("<Q", content)
    assert checksum(bytes(content[8:BLOCK_BYTES])) == stored
    struct.pack_into("<Q", content, 12, 999)
    struct.pack_into("<Q", content, 0, checksum(bytes(content[8:BLOCK_BYTES])))
    house.file.write_bytes(content)
    for act in (house.pipeline.load, house.pipeline.publish, house.pipeline.build):
        with pytest.raises(OtherVersionError) as caught:
            act()
        said(caught.value)
    assert not any(finding.is_well for finding in house.mended() if finding.subject == "working file")
    assert house.file.read_bytes() == bytes(content)
    assert moved_aside(house.file) == []


def test_a_working_file_that_was_removed_is_not_begun_anew(house: House) -> None:
    house.file.unlink()
    with pytest.raises(WarehouseError, match=r"is not there, but the vault has fetches that were in it; run `htw rebuild`"):
        house.poll(NEXT, "order_snapshots")
    assert not house.file.exists()


def test_damaged_small_files_cost_themselves_only(house: House, caplog: pytest.LogCaptureFixture) -> None:
    vault, plans = house.pipeline.vault, house.pipeline.plans
    start = first_slot(house.data_dir, DAY)
    (plan,) = plans.folder.glob("*.json")
    decision = vault.root / "decisions" / "abc.json"
    decision.parent.mkdir()
    decision.write_text("{")
    halve(plan)
    (house.data_dir / START_FILE).write_text("")
    assert DecisionBook(vault.root).about("abc") is None
    assert house.pipeline.plan().paces
    assert first_slot(house.data_dir, DAY + timedelta(days=40)) == start
    assert len(PlanBook(vault.root).all()) == 1
    assert caplog.text.count("is damaged") == 3
    assert len(list(house.data_dir.rglob("*.damaged-*"))) == 3
