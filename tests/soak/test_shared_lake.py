"""A virtual day of four machines that share the work out, their builds, upkeep and two readers, all at once on one lake."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from orchestration.division import Landing
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.modelling import raise_for_failures
from orchestration.pipeline import Pipeline
from tests.integration.processes import python_process
from tests.pipeline.conftest import DAY, Day, new_day
from tests.pipeline.test_shared_lake import ABOUT_POLLING, OF_ONE_MACHINE, facts
from tests.production.cluster import PASSWORD, Cluster, required_binaries, running_cluster
from tests.stores import BUCKET, KEY_ID, SECRET, store_process
from warehouse.lake_upkeep import state_of

__all__ = ["new_day"]
pytestmark = pytest.mark.soak

STEP_HOURS = int(os.environ.get("HTW_SOAK_LAKE_STEP_HOURS", "3"))
# Each has the list of coins, which says what is asked for coin by coin.
SHARES = (("open_positions",), ("order_snapshots",), ("market_metrics", "segments"), ("heatmap", "coin_metrics"))
EVERYWHERE = ("coins",)
MACHINE = """
    import os, sys
    from datetime import datetime
    import httpx
    from orchestration.clock import SteppedClock
    from orchestration.hypertracker.datasets import BY_NAME
    from orchestration.modelling import raise_for_failures
    from orchestration.pipeline import Pipeline
    from orchestration.settings import load_settings
    settings, chosen = load_settings(), [BY_NAME[name] for name in sys.argv[2].split(",") if name]

    def now():
        return datetime.fromisoformat(httpx.get(sys.argv[1] + "/_sandbox/clock", timeout=60).json()["now"])

    pipeline = Pipeline(settings, SteppedClock(now, lambda moment: None))
    print("ready", flush=True)
    for line in sys.stdin:
        if chosen:
            pipeline.poll(chosen, datetime.fromisoformat(line.strip()))
        raise_for_failures(pipeline.build())
        print(pipeline.publish().lake_problem or "published", flush=True)
"""
UPKEEP = """
    import os, sys, time
    from orchestration.settings import load_settings
    from warehouse.lake_upkeep import maintain
    lake, rounds = load_settings().lake, 0
    print("ready", flush=True)
    while not os.path.exists(sys.argv[1]):
        maintain(lake, history_days=1)
        rounds += 1
        time.sleep(5)
    print(rounds, flush=True)
"""
READER = """
    import json, os, sys, time
    from orchestration.settings import load_settings
    from warehouse.query import connect_published
    lake, reads, states = load_settings().lake, 0, set()
    print("ready", flush=True)
    while not os.path.exists(sys.argv[1]):
        with connect_published(lake) as connection:
            coins = "select count(distinct coin) as n from fct_open_positions group by snapshot_at"
            short, count = connection.execute(f"select count(*) filter (n < 2), count(*) from ({coins})").fetchone()
        assert short == 0, f"{short} of {count} snapshots lack a coin"
        reads, states = reads + 1, states | {count}
        time.sleep(0.5)
    print(json.dumps({"reads": reads, "states": len(states)}), flush=True)
"""


@dataclass
class Machine:
    """A process that polls its share, if it has one, builds and publishes at every slot that it is told."""

    process: Popen[str]

    def begin(self, slot: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{slot.isoformat()}\n")
        self.process.stdin.flush()

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.mark.parametrize("landing", [Landing.HERE, Landing.SEND])
def test_four_machines_upkeep_and_readers_share_a_lake_for_a_day(new_day: Any, tmp_path: Path, landing: Landing) -> None:
    """Each models what it polls; or all send their raw rows, and a fifth, which polls nothing, models them."""
    found = required_binaries()
    day: Day = new_day(coins="BTC,ETH", positions=400, orders=200)
    alone = Pipeline(day.settings.model_copy(update={"data_dir": tmp_path / "alone"}), day.clock)
    chosen = [BY_NAME[name] for name in (*EVERYWHERE, *(name for share in SHARES for name in share))]
    stop, begun, slots = tmp_path / "stop", time.monotonic(), 0
    with running_cluster(found) as cluster, store_process() as endpoint, contextlib.ExitStack() as stack:
        settings = lake_settings(cluster, endpoint, tmp_path)
        divided = settings | {"landing": landing.value}
        machines = [stack.enter_context(machine(day, divided, tmp_path / f"machine{n}", share)) for n, share in enumerate(SHARES)]
        if landing is Landing.SEND:
            takes = settings | {"landing": Landing.TAKE.value, "datasets": "none"}
            machines.append(stack.enter_context(machine(day, takes, tmp_path / "models", ())))
        watchers: list[Popen[str]] = []
        for hours in range(0, 24, STEP_HOURS):
            slot = DAY + timedelta(hours=hours)
            day.sandbox.clock.set(slot + timedelta(seconds=5))
            for one in machines:
                one.begin(slot)
            alone.poll(chosen, slot)
            raise_for_failures(alone.build())
            assert alone.publish().lake_problem == ""
            assert [one.said() for one in machines] == ["published"] * len(machines)
            slots += 1
            # There is nothing to look after before somebody has published.
            watchers = watchers or [
                stack.enter_context(watcher(code, stop, settings, tmp_path)) for code in (UPKEEP, READER, READER)
            ]
        # What was sent while the models were built.
        machines[-1].begin(slot)
        assert machines[-1].said() == "published"
        stop.touch()
        rounds, *reads = [json.loads(str(child.communicate(timeout=300)[0]).splitlines()[-1]) for child in watchers]
        shared = Pipeline(day.settings.model_copy(update=settings | {"data_dir": tmp_path / "machine0"}), day.clock)
        told = state_of(shared.settings.lake)
        assert facts(shared.settings.lake, compared_but(landing)) == facts(alone.settings.lake, compared_but(landing))
    assert len(told.publishers) == len(machines)
    assert rounds >= 1
    assert all(found["reads"] >= slots for found in reads), reads
    print(
        f"\n{slots} instants of a day, {len(machines)} machines, {rounds} rounds of upkeep, "
        f"{sum(found['reads'] for found in reads)} reads of {max(found['states'] for found in reads)} states, "
        f"{time.monotonic() - begun:.0f} s: no error, and the facts of one machine"
    )


def compared_but(landing: Landing) -> Sequence[str]:
    """What of one machine cannot be compared: where one models all, only what tells of polls."""
    return ABOUT_POLLING if landing is Landing.SEND else OF_ONE_MACHINE


def lake_settings(cluster: Cluster, endpoint: str, folder: Path) -> dict[str, Any]:
    for name, secret in (("password", PASSWORD), ("secret", SECRET)):
        (folder / name).write_text(secret)
    return {
        "lake_url": f"ducklake:{cluster.address}", "lake_password_file": folder / "password", "lake_data": f"s3://{BUCKET}/lake",
        "lake_s3_endpoint": endpoint, "lake_s3_key_id": KEY_ID, "lake_s3_secret_file": folder / "secret",
    }  # fmt: skip


@contextlib.contextmanager
def machine(day: Day, settings: dict[str, Any], data_dir: Path, share: Sequence[str]) -> Iterator[Machine]:
    ours = {"api_url": day.settings.api_url, "api_token": day.sandbox.token, "coins": "BTC,ETH", "plan": "1000000/day"}
    given = environment(ours | {"datasets": "all"} | settings | {"data_dir": data_dir})
    chosen = ",".join((*EVERYWHERE, *share) if share else ())
    with python_process(MACHINE, day.settings.api_url, chosen, environment=given) as process:
        yield Machine(process)


@contextlib.contextmanager
def watcher(code: str, stop: Path, settings: dict[str, Any], folder: Path) -> Iterator[Popen[str]]:
    given = environment(settings | {"api_url": "https://api.example", "api_token": "any", "data_dir": folder / "watching"})
    with python_process(code, stop, environment=given) as process:
        yield process


def environment(settings: dict[str, Any]) -> dict[str, str]:
    return {f"HTW_{name.upper()}": str(value) for name, value in settings.items()}
