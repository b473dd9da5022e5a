"""`htw backfill` as a person uses it: what it would take, killed between two pages, taken up again, done, and done once."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from subprocess import CompletedProcess
from urllib.parse import parse_qs, urlsplit

import pytest

from orchestration.budget import Budget
from orchestration.clock import SystemClock
from orchestration.planning.plans import parse_plan
from orchestration.planning.slots import Cadence, slot_at
from sandbox import Fault, Sandbox, SandboxSettings, running_sandbox
from tests.integration.processes import Htw
from warehouse.query import query

pytestmark = pytest.mark.long

DONE, SLOTS_MISSING, WRONG_USAGE = 0, 3, 2
PLAN = "5000/day,600/minute"
SLOTS = 4
PATIENCE_S = 60.0


@dataclass
class Backfill:
    """One data folder, the window that is filled, and what each run said and asked."""

    htw: Htw
    sandbox: Sandbox
    start: datetime
    said: dict[str, CompletedProcess[str]] = field(default_factory=dict)
    asked: dict[str, list[str]] = field(default_factory=dict)

    @property
    def arguments(self) -> tuple[str, ...]:
        end = self.start + SLOTS * Cadence.FIVE_MINUTES.step
        window = (f"--from={self.start:%Y-%m-%dT%H:%MZ}", f"--to={end:%Y-%m-%dT%H:%MZ}")
        return ("backfill", "order_snapshots", "--coins=BTC,ETH", *window)

    def api_requests(self) -> list[str]:
        return [request.path for request in self.sandbox.requests() if request.leg == "api"]

    def run(self, name: str, *options: str, **changes: str) -> None:
        before = len(self.api_requests())
        self.said[name] = self.htw(*self.arguments, *options, plan=PLAN, **changes)
        self.asked[name] = self.api_requests()[before:]

    def run_and_kill(self) -> None:
        """Kill it while it waits for the third page of a coin."""
        before = len(self.api_requests())
        fault = self.sandbox.faults.add(Fault(kind="slow", path="coin=BTC.*nextCursor", after=3, count=1, delay_s=5.0))
        child = self.htw.start(*self.arguments, plan=PLAN)
        until = time.monotonic() + PATIENCE_S
        while fault.seen < 4 and time.monotonic() < until:
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        child.wait()
        self.sandbox.faults.clear()
        self.asked["killed"] = self.api_requests()[before:]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backfill]:
    with running_sandbox(SandboxSettings(coins=2, positions=60, orders=7000)) as sandbox:
        htw = Htw(sandbox.api_url, sandbox.token, tmp_path_factory.mktemp("backfill") / "data")
        start = slot_at(Cadence.FIVE_MINUTES, datetime.now(UTC)) - timedelta(hours=2)
        made = Backfill(htw, sandbox, start)
        made.run("dry", "--dry-run", columns="80")
        made.run_and_kill()
        made.run("resumed")
        made.run("again")
        yield made


def cursors(paths: list[str]) -> Counter[tuple[str, str, str]]:
    """How often each page of each coin and slot was asked for."""
    split = [(urlsplit(path).path, parse_qs(urlsplit(path).query)) for path in paths]
    return Counter((path, found.get("coin", [""])[0], found.get("nextCursor", [""])[0]) for path, found in split)


def test_a_dry_run_says_what_it_takes_and_asks_nothing(filled: Backfill) -> None:
    said = filled.said["dry"]
    assert filled.asked["dry"] == []
    assert said.returncode == SLOTS_MISSING
    assert f"{2 * SLOTS}" in said.stdout
    for words in ("requests", "nothing was asked", "left for backfill"):
        assert words in said.stdout
    assert not (filled.htw.data_dir / "published").exists() or filled.said["resumed"]


@pytest.mark.proves("pages-crash", sees="the next run goes on at the page that was killed; none that had come is asked twice")
def test_what_a_kill_left_undone_is_taken_up_where_it_was(filled: Backfill) -> None:
    assert filled.said["resumed"].returncode == DONE, filled.said["resumed"].stderr
    twice = {page: count for page, count in cursors(filled.asked["killed"] + filled.asked["resumed"]).items() if count > 1}
    # Pages that were under way when it was killed: one a coin and slot at most, none that had come.
    assert len(twice) <= 2 * SLOTS
    assert len(filled.asked["resumed"]) < len(filled.asked["killed"] + filled.asked["resumed"]) - SLOTS


def test_every_order_of_every_slot_is_there(filled: Backfill) -> None:
    frame = query(
        filled.htw.data_dir / "published" / "hypertracker.duckdb",
        "select coin, snapshot_at, sum(order_count) as orders from fct_order_liquidity group by all",
    )
    assert len(frame) == 2 * SLOTS
    for coin, at, orders in frame.itertuples(index=False):
        moment = at.to_pydatetime().replace(tzinfo=UTC)
        assert orders == len(filled.sandbox.market.orders_at(moment, coin)), (coin, at)


def test_once_it_is_done_it_asks_nothing(filled: Backfill) -> None:
    assert (filled.said["again"].returncode, filled.asked["again"]) == (DONE, [])


def test_the_budget_has_counted_every_request_and_those_that_the_kill_caught_before_they_were_sent(filled: Backfill) -> None:
    budget = Budget(filled.htw.data_dir / "budget.sqlite", parse_plan(PLAN), SystemClock())
    today = datetime.now(UTC).date()
    spent, counted = sum(budget.spent_in(today).values()), len(filled.api_requests())
    assert counted <= spent <= counted + 2 * SLOTS


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("backfill", "nonsense", "--from=2026-03-20"), "no such dataset"),
        (("backfill", "coins", "--from=yesterday"), "no UTC time"),
        (("backfill", "coins", "--from=2026-03-20", "--to=2026-03-19"), "is not before"),
    ],
)
def test_wrong_usage_is_named(filled: Backfill, arguments: tuple[str, ...], says: str) -> None:
    said = filled.htw(*arguments)
    assert said.returncode == WRONG_USAGE
    assert says in said.stderr
