"""Polls killed at random moments, again and again: readers never notice, and what was kept gives the same facts as a rebuild."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestration.clock import SteppedClock
from orchestration.pipeline import Pipeline
from orchestration.settings import load_settings
from sandbox import Sandbox, SandboxSettings, running_sandbox
from tests.integration.processes import Htw, python_process
from tests.pipeline.conftest import dumped

ROUNDS = int(os.environ.get("HTW_SOAK_ROUNDS", "30"))
SEED = int(os.environ.get("HTW_SOAK_SEED", "0"))
COINS = "BTC,ETH"
DATASETS = ("open_positions", "order_snapshots", "coins", "heatmap", "breakdown_by_size_export", "liquidation_heatmap_export")
AT_ONCE = 2
READER = """
    import duckdb, json, os, sys, time
    stable, stop = sys.argv[1:]
    reads, versions = 0, set()
    print("reading", flush=True)
    while not os.path.exists(stop):
        version = os.path.realpath(stable)
        with duckdb.connect(version, read_only=True) as connection:
            (count,) = connection.execute("select count(*) from marts.fct_open_positions").fetchone()
            (published,) = connection.execute("select count(*) from main.edition").fetchone()
        assert count > 0 and published == 1, (version, count, published)
        reads, versions = reads + 1, versions | {version}
        time.sleep(0.05)
    print(json.dumps({"reads": reads, "versions": len(versions)}), flush=True)
"""

pytestmark = pytest.mark.soak


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox(SandboxSettings(coins=4, positions=1000, orders=400)) as sandbox:
        yield sandbox


@pytest.fixture
def htw(sandbox: Sandbox, tmp_path: Path) -> Htw:
    return Htw(sandbox.api_url, sandbox.token, tmp_path / "data")


def test_polls_killed_at_random_moments_lose_nothing_that_was_kept(htw: Htw, sandbox: Sandbox, tmp_path: Path) -> None:
    chance, stop = random.Random(SEED), tmp_path / "stop"
    whole(htw, "open_positions", coins="BTC")
    begun = time.monotonic()
    whole(htw, "coins")
    longest = time.monotonic() - begun
    with python_process(READER, published(htw), stop) as reader:
        killed = sum(kill_a_poll(htw, chance.uniform(0.2, longest), *chance.sample(DATASETS, AT_ONCE)) for _ in range(ROUNDS))
        whole(htw, *DATASETS)
        stop.touch()
        read = json.loads(reader.communicate()[0])
    print(f"{ROUNDS} polls, {killed} killed; {read['reads']} reads of {read['versions']} versions")
    assert killed >= ROUNDS // 2
    assert read["reads"] > ROUNDS
    assert read["versions"] > 1
    assert facts_as_loaded(htw, sandbox) == facts_as_rebuilt(htw, sandbox)


def whole(htw: Htw, *datasets: str, coins: str = COINS) -> None:
    """A poll nobody disturbs ends by itself, whatever those before it left; slots that are over by then may be missing."""
    result = htw("poll", *datasets, coins=coins)
    assert result.returncode in (0, 3), result.stderr


def kill_a_poll(htw: Htw, after_s: float, *datasets: str) -> bool:
    """Whether it was still running when it was killed."""
    child = htw.start("poll", *datasets, coins=COINS)
    try:
        child.wait(after_s)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
    return child.wait() == -signal.SIGKILL


def published(htw: Htw) -> Path:
    return htw.data_dir / "published" / "hypertracker.duckdb"


def facts_as_loaded(htw: Htw, sandbox: Sandbox) -> dict[str, list[str]]:
    """Once the sweeps that were cut off are old enough to be taken up by another load."""
    pipeline = later(htw, sandbox)
    pipeline.load([])
    pipeline.build()
    pipeline.publish()
    return facts(htw)


def facts_as_rebuilt(htw: Htw, sandbox: Sandbox) -> dict[str, list[str]]:
    later(htw, sandbox).rebuild()
    return facts(htw)


def facts(htw: Htw) -> dict[str, list[str]]:
    found = {table: sorted(map(str, rows)) for table, rows in dumped(published(htw)).items()}
    assert sum(map(len, found.values())) > 1000
    return found


def later(htw: Htw, sandbox: Sandbox) -> Pipeline:
    settings = load_settings(
        api_url=sandbox.api_url, api_token=SecretStr(sandbox.token), data_dir=htw.data_dir, coins=COINS, plan="1000000/day",
        datasets="all", warehouse_url=None,
    )  # fmt: skip
    return Pipeline(settings, SteppedClock(lambda: datetime.now(UTC) + timedelta(hours=1), lambda _: None))
