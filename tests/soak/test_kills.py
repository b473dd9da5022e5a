"""Polls, loads, builds and publishes killed at random moments, again and again, while readers read: every fact is as without."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestration.clock import SteppedClock
from orchestration.pipeline import Pipeline
from orchestration.settings import load_settings
from sandbox import Sandbox, SandboxSettings, running_sandbox
from tests.integration.processes import python_process
from tests.pipeline.conftest import ABOUT_POLLS, dumped
from tests.reliability.mortal import Parent, warm_parent
from warehouse.connection import open_reader

ROUNDS = int(os.environ.get("HTW_SOAK_ROUNDS", "1000"))
SEED = int(os.environ.get("HTW_SOAK_SEED", "0"))
KILLS_A_SLOT = 12
# Most durable steps are those of polling and loading, which take the least time.
SHARE_OF_POLLS = 0.6
DAY = datetime(2026, 3, 26, tzinfo=UTC)
STEP = timedelta(minutes=15)
ASKED_AFTER = timedelta(seconds=90)
DATASETS = ("coins", "order_snapshots", "heatmap", "open_positions")
KILLED = -signal.SIGKILL
READER = """
    import duckdb, json, os, sys, time
    stable, stop = sys.argv[1:]
    reads, versions = 0, set()
    print("reading", flush=True)
    while not os.path.exists(stop):
        version = os.path.realpath(stable)
        with duckdb.connect(version, read_only=True) as connection:
            (count,) = connection.execute("select count(*) from marts.fct_open_positions").fetchone()
            coins = "select count(distinct coin) as n from marts.fct_open_positions group by snapshot_at"
            (short,) = connection.execute(f"select count(*) from ({coins}) where n < 2").fetchone()
            (published,) = connection.execute("select count(*) from main.edition").fetchone()
        assert count > 0 and short == 0 and published == 1, (version, count, short, published)
        reads, versions = reads + 1, versions | {version}
        time.sleep(0.05)
    print(json.dumps({"reads": reads, "versions": len(versions)}), flush=True)
"""

pytestmark = pytest.mark.soak


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    sizes = SandboxSettings(coins=4, positions=400, orders=200, start=DAY, clock="manual")
    with running_sandbox(sizes) as sandbox:
        yield sandbox


@pytest.fixture
def parent() -> Iterator[Parent]:
    with warm_parent() as parent:
        yield parent


@pytest.mark.proves("kill-at-random", sees="nothing: readers read on, and every fact is the same, byte for byte")
def test_work_killed_at_random_moments_gives_the_facts_of_work_that_was_not(
    sandbox: Sandbox, parent: Parent, tmp_path: Path
) -> None:
    chance, stop, begun = random.Random(SEED), tmp_path / "stop", time.monotonic()
    killed, untouched = (settings_of(sandbox, tmp_path / name) for name in ("killed", "untouched"))
    longest = seconds_of(sandbox, parent, killed)
    shutil.copytree(killed["data_dir"], untouched["data_dir"], symlinks=True)
    slot, count = DAY, 0
    with python_process(READER, published(killed), stop) as reader:
        while count < ROUNDS:
            slot += STEP
            sandbox.clock.set(slot + ASKED_AFTER)
            count += sum(is_killed(parent, killed, slot, chance, longest) for _ in range(min(KILLS_A_SLOT, ROUNDS - count)))
            assert parent(killed, slot + ASKED_AFTER, *work(slot)) == 0
            assert parent(untouched, slot + ASKED_AFTER, poll(slot)) == 0
        stop.touch()
        read = json.loads(reader.communicate()[0])
    print(f"{count} killed in {time.monotonic() - begun:.0f} s; {read['reads']} reads of {read['versions']} versions")
    assert read["reads"] > count
    assert read["versions"] > 1
    facts = [settled(settings, slot + timedelta(hours=1)) for settings in (killed, untouched)]
    assert sum(map(len, facts[0].values())) > 1000
    assert facts[0] == facts[1]
    assert is_sound(killed)


def settings_of(sandbox: Sandbox, folder: Path) -> dict[str, Any]:
    return {
        "api_url": sandbox.api_url, "api_token": sandbox.token, "coins": "BTC,ETH", "plan": "1000000/day", "warehouse_url": None,
        "data_dir": str(folder), "datasets": ",".join(DATASETS),
    }  # fmt: skip


def poll(slot: datetime) -> str:
    return f"poll {slot.isoformat()} {' '.join(DATASETS)}"


def work(slot: datetime) -> tuple[str, ...]:
    return (poll(slot), "build", "publish")


def seconds_of(sandbox: Sandbox, parent: Parent, settings: dict[str, Any]) -> tuple[float, float]:
    """How long a poll takes, and all of the work, once the first whole build is over."""
    assert parent(settings, DAY + ASKED_AFTER, *work(DAY)) == 0
    begun = time.monotonic()
    assert parent(settings, DAY + ASKED_AFTER, poll(DAY)) == 0
    polled = time.monotonic()
    assert parent(settings, DAY + ASKED_AFTER, *work(DAY)) == 0
    return polled - begun, time.monotonic() - polled


def is_killed(
    parent: Parent, settings: dict[str, Any], slot: datetime, chance: random.Random, longest: tuple[float, float]
) -> bool:
    """Whether it was still at work at a random moment; if so, it is dead now."""
    poll_s, work_s = longest
    after_s = chance.uniform(0.0, poll_s) if chance.random() < SHARE_OF_POLLS else chance.uniform(poll_s, work_s)
    pid = parent.start(settings, slot + ASKED_AFTER, *work(slot))
    time.sleep(after_s)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return parent.wait() == KILLED


def published(settings: dict[str, Any]) -> Path:
    return Path(settings["data_dir"]) / "published" / "hypertracker.duckdb"


def pipeline_of(settings: dict[str, Any], now: datetime) -> Pipeline:
    return Pipeline(load_settings(**settings), SteppedClock(lambda: now, lambda _: None))


def settled(settings: dict[str, Any], now: datetime) -> dict[str, list[tuple[Any, ...]]]:
    """The facts once the sweeps that were cut off are old enough to be taken up by another load."""
    pipeline = pipeline_of(settings, now)
    pipeline.load()
    pipeline.build()
    pipeline.publish()
    return {table: rows for table, rows in dumped(published(settings)).items() if table not in ABOUT_POLLS}


def is_sound(settings: dict[str, Any]) -> bool:
    """Whether vault and ledger agree, nothing waits, and each payload counts once."""
    pipeline = pipeline_of(settings, DAY)
    with open_reader(pipeline.settings.warehouse_file) as connection:
        known = {row[0] for row in connection.execute("select fetch_id from ops.fetches").fetchall()}
        twice = connection.execute("select payload_id from ops.payloads group by all having count(*) > 1").fetchall()
    records = list(pipeline.vault.records())
    verified = all(pipeline.vault.verify(part) for record in records for part in record.parts)
    return known == {record.fetch_id for record in records} and not twice and verified and not pipeline.vault.pending()
