"""Several at once: processes on one folder, backfills in any order, readers beside the writer. Each payload counts once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestration.clock import SteppedClock
from orchestration.collecting import Ask
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.modelling import raise_for_failures
from orchestration.pipeline import Pipeline
from orchestration.planning.slots import Cadence, slot_at, slots_between
from orchestration.services import free_port
from orchestration.settings import load_settings
from sandbox import Sandbox, SandboxSettings, running_sandbox
from tests.integration.processes import Htw, command
from tests.reliability.oracles import check_requests, check_vault, facts
from warehouse.connection import open_reader
from warehouse.query import query

pytestmark = pytest.mark.long
proves = pytest.mark.proves

BEGIN = datetime(2026, 3, 26, tzinfo=UTC)
SLOTS = list(slots_between(Cadence.FIVE_MINUTES, BEGIN, BEGIN + timedelta(hours=16, minutes=40)))
FEW = SLOTS[:24]
DATASETS = ("open_positions", "coins")
STARTED_WITHIN_S = 60.0
DRAINS_WITHIN_S = 10.0


def pipeline_of(sandbox: Sandbox, data_dir: Path) -> Pipeline:
    settings = load_settings(
        api_url=sandbox.api_url, api_token=SecretStr(sandbox.token), coins="BTC", plan="1000000/day", data_dir=data_dir,
        datasets="order_snapshots", warehouse_url=None,
    )  # fmt: skip
    return Pipeline(settings, SteppedClock(sandbox.clock.now, sandbox.clock.set))


@pytest.fixture(scope="module")
def past() -> Iterator[Sandbox]:
    """A market whose last sixteen hours can be asked for."""
    with running_sandbox(SandboxSettings(start=BEGIN, clock="manual", coins=2, positions=40, orders=60)) as sandbox:
        sandbox.clock.set(SLOTS[-1] + timedelta(hours=1))
        yield sandbox


def backfilled(pipeline: Pipeline, slots: Sequence[datetime], at_once: int) -> Pipeline:
    """Order snapshots of past slots in this order, so many in one run, one build after the last."""
    for first in range(0, len(slots), at_once):
        pipeline.ask([Ask.of(BY_NAME["order_snapshots"], "BTC", slot) for slot in slots[first : first + at_once]])
    raise_for_failures(pipeline.build())
    return pipeline


@pytest.fixture(scope="module")
def oldest_first(past: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return backfilled(pipeline_of(past, tmp_path_factory.mktemp("oldest") / "data"), FEW, at_once=1)


@proves("backfill-oldest-first", sees="the facts of having polled in time")
def test_every_slot_that_was_backfilled_is_a_snapshot(oldest_first: Pipeline) -> None:
    found = facts(oldest_first)
    assert len(found["fct_order_versions"]) > 20
    assert len({row[0] for row in found["fct_order_liquidity"]}) == len(FEW)
    assert check_vault(oldest_first) == len(FEW)


ORDERS = {
    "newest first": lambda: FEW[::-1],
    "shuffled": lambda: random.Random(5).sample(FEW, len(FEW)),
}


@pytest.mark.parametrize(
    "order",
    [
        pytest.param("newest first", marks=proves("backfill-newest-first", sees="the same facts")),
        pytest.param("shuffled", marks=proves("backfill-shuffled", sees="the same facts")),
    ],
)
def test_backfill_in_any_order_gives_the_same_facts(oldest_first: Pipeline, past: Sandbox, tmp_path: Path, order: str) -> None:
    made = backfilled(pipeline_of(past, tmp_path / "data"), ORDERS[order](), at_once=7)
    assert facts(made) == facts(oldest_first)


@proves("partitions-200", sees="200 slots in one run, each with its own verdict and snapshot")
def test_two_hundred_slots_at_once(past: Sandbox, tmp_path: Path) -> None:
    before = served(past)
    made = backfilled(pipeline_of(past, tmp_path / "data"), SLOTS, at_once=len(SLOTS))
    assert len(SLOTS) == 200
    assert check_vault(made) == 200
    check_requests(made, served(past) - before, past.clock.now())
    with open_reader(made.settings.warehouse_file) as connection:
        snapshots = connection.execute("select count(distinct snapshot_at) from marts.fct_order_liquidity").fetchone()
    assert snapshots == (200,)


def served(sandbox: Sandbox) -> int:
    return sum(request.leg == "api" for request in sandbox.requests())


@pytest.fixture(scope="module")
def present() -> Iterator[Sandbox]:
    """A market of now, for processes that go by the machine's clock."""
    with running_sandbox(SandboxSettings(coins=3, positions=120, orders=60)) as sandbox:
        yield sandbox


@proves("partition-twice", sees="both end well; the slot's data is there once, and each request is counted")
@proves("daemon-and-backfill", sees="who comes second waits for the working file, and both are loaded")
def test_the_same_slot_polled_twice_at_once_counts_once(present: Sandbox, tmp_path: Path) -> None:
    htw = Htw(present.api_url, present.token, tmp_path / "data")
    slot = f"{slot_at(Cadence.QUARTER_HOUR, datetime.now(UTC)):%Y-%m-%dT%H:%MZ}"
    both = [started(htw, "poll", *DATASETS, "--slot", slot) for _ in range(2)]
    heal = started(htw, "heal")
    ends = [(*child.communicate(timeout=540), child.returncode) for child in (*both, heal)]
    assert all(code in (0, 3) for *_, code in ends), ends
    published = htw.data_dir / "published" / "hypertracker.duckdb"
    rows = query(
        published, "select count(*) as n, count(distinct (snapshot_at, coin, position_id)) as keys from fct_open_positions"
    )
    assert rows["n"][0] == rows["keys"][0] > 50
    with open_reader(htw.data_dir / "warehouse.duckdb") as connection:
        twice = connection.execute(
            "select dataset, scope, slot from ops.payloads group by all having count(*) > 1 and count(distinct sha256) = 1"
        ).fetchall()
        spent = connection.execute("select sum(requests_spent) from ops.fetches").fetchone()
    assert twice == []
    assert spent == (served(present),)


def started(htw: Htw, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments), env=htw.environment(coins="BTC,ETH"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@proves("two-daemons", sees="the second ends: “has a daemon already (process”, “stop it first, or set another HTW_DATA_DIR”")
@proves("sigterm", sees="`htw up` and what it started have ended within 10 s")
def test_a_second_daemon_is_turned_away(present: Sandbox, tmp_path: Path, said: Callable[..., None]) -> None:
    htw = Htw(present.api_url, present.token, tmp_path / "data")
    with services_of(htw) as first:
        second = htw("up", "--port", str(free_port()))
        assert second.returncode == 1
        said(second.stderr)
        assert f"(process {first.pid})" in second.stderr
        first.send_signal(signal.SIGTERM)
        assert first.wait(timeout=30) == 0
        assert ended_within(DRAINS_WITHIN_S + 2.0, htw)


@proves("two-daemons", sees="a daemon does not outlive a `htw up` that was killed: the next one may start")
def test_a_daemon_ends_with_the_one_who_started_it(present: Sandbox, tmp_path: Path) -> None:
    htw = Htw(present.api_url, present.token, tmp_path / "data")
    with services_of(htw) as first:
        first.kill()
        first.wait()
        assert ended_within(DRAINS_WITHIN_S + 20.0, htw)


@contextmanager
def services_of(htw: Htw) -> Iterator[subprocess.Popen[str]]:
    """`htw up` with its daemon and its UI started."""
    child = started(htw, "up", "--port", str(free_port()))
    try:
        until = time.monotonic() + STARTED_WITHIN_S
        while len(below(htw)) < 3 and time.monotonic() < until:
            time.sleep(0.2)
        yield child
    finally:
        for pid in below(htw):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def below(htw: Htw) -> list[int]:
    """The processes that work in a data folder."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if str(htw.data_dir).encode() in environment.read_bytes():
                found.append(int(environment.parent.name))
    return found


def ended_within(seconds: float, htw: Htw) -> bool:
    until = time.monotonic() + seconds
    while below(htw) and time.monotonic() < until:
        time.sleep(0.2)
    return not below(htw)
