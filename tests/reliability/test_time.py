"""Clocks that jump, odd zones and calendars, machines that sleep: the slot grid stays in UTC, facts keep the provider's times."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestration.clock import SteppedClock
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.modelling import raise_for_failures
from orchestration.pipeline import Outcome, Pipeline
from orchestration.planning.slots import is_slot
from orchestration.settings import load_settings
from sandbox import Sandbox, SandboxSettings, running_sandbox
from tests.integration.processes import Htw, command
from tests.reliability.oracles import check_coverage, facts
from warehouse.connection import open_reader
from warehouse.ledger import naive

pytestmark = pytest.mark.long
proves = pytest.mark.proves

ASKED_AFTER = timedelta(seconds=5)
DATASETS = (
    "state_status",
    "coins",
    "open_positions",
    "order_snapshots",
    "market_metrics",
    "breakdown_by_size_export",
    "segments",
)
NEWFOUNDLAND = "America/St_Johns"
BEGIN = datetime(2026, 3, 8, 4, 55, tzinfo=UTC)
# Summer time begins and ends in Newfoundland, years end there and in UTC, and 29 February begins and ends.
MOMENTS = (
    *(BEGIN + timedelta(minutes=minutes) for minutes in (0, 5, 30, 35, 40, 65)),
    *(datetime(2026, 11, 1, hour, minute, tzinfo=UTC) for hour, minute in ((3, 55), (4, 25), (4, 30), (4, 35), (6, 0))),
    *(datetime(2026, 12, 31, 23, minute, tzinfo=UTC) for minute in (45, 55)),
    *(datetime(2027, 1, 1, hour, minute, tzinfo=UTC) for hour, minute in ((0, 0), (3, 25), (3, 30))),
    *(datetime(2028, 2, day, 0, minute, tzinfo=UTC) for day in (28, 29) for minute in (0, 15)),
    datetime(2028, 2, 29, 23, 55, tzinfo=UTC),
    datetime(2028, 3, 1, tzinfo=UTC),
)
QUIET_DAY = datetime(2026, 3, 26, 12, tzinfo=UTC)


@dataclass
class Folder:
    """A data folder whose machine's clock may be wrong by `skew`; the provider's is always right."""

    sandbox: Sandbox
    pipeline: Pipeline
    skew: list[timedelta]
    outcomes: list[Outcome] = field(default_factory=list)

    def poll(self, slot: datetime, naps: timedelta = timedelta()) -> None:
        """What is due at a slot; the machine sleeps `naps` after the first answer."""
        due = [BY_NAME[name] for name in DATASETS if is_slot(BY_NAME[name].cadence, slot)]
        sleeping = iter([naps] if naps else [])

        def answered(_: object) -> None:
            self.sandbox.clock.set(self.sandbox.clock.now() + next(sleeping, timedelta()))

        self.outcomes += self.pipeline.poll(due, slot, answered)

    def polls_at(self, *slots: datetime) -> None:
        for slot in slots:
            self.sandbox.clock.set(slot + ASKED_AFTER)
            self.poll(slot)

    def build(self) -> None:
        raise_for_failures(self.pipeline.build())


@contextmanager
def folder_of(sandbox: Sandbox, data_dir: Path) -> Iterator[Folder]:
    skew = [timedelta()]
    clock = SteppedClock(lambda: sandbox.clock.now() + skew[0], lambda moment: sandbox.clock.set(moment - skew[0]))
    settings = load_settings(
        api_url=sandbox.api_url, api_token=SecretStr(sandbox.token), coins="BTC,ETH", plan="1000000/day", data_dir=data_dir,
        datasets=",".join(DATASETS), warehouse_url=None,
    )  # fmt: skip
    yield Folder(sandbox, Pipeline(settings, clock), skew)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox(SandboxSettings(start=BEGIN, clock="manual", coins=3, positions=200, orders=120)) as sandbox:
        yield sandbox


@contextmanager
def in_zone(name: str) -> Iterator[None]:
    """This process as on a machine of that zone."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
        time.tzset()


@pytest.fixture(scope="module")
def years(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, Folder]:
    """The same moments polled and built in UTC, and on a machine in Newfoundland."""
    made = []
    for zone in ("UTC", NEWFOUNDLAND):
        with in_zone(zone), folder_of(sandbox, tmp_path_factory.mktemp("zone") / "data") as folder:
            folder.polls_at(*MOMENTS)
            folder.build()
            made.append(folder)
    return made[0], made[1]


@proves("odd-zone", sees="the same facts, to the byte, as on a machine in UTC")
@proves("dst", sees="nothing: slots are UTC's, and an hour that a zone leaves out or has twice is like any other")
@proves("leap-day", sees="nothing: a day like any other")
@proves("year-end", sees="nothing: a day like any other")
def test_facts_are_those_of_a_machine_in_utc(years: tuple[Folder, Folder]) -> None:
    in_utc, elsewhere = (facts(folder.pipeline, without=()) for folder in years)
    assert len(in_utc["fct_open_positions"]) > 200
    assert in_utc == elsewhere


def test_every_moment_was_loaded_at_its_own_slot(years: tuple[Folder, Folder]) -> None:
    with open_reader(years[1].pipeline.settings.warehouse_file) as connection:
        loaded = connection.execute(
            "select distinct slot from ops.fetches where dataset = 'order_snapshots' and verdict in ('loaded', 'unchanged')"
        ).fetchall()
    assert sorted(slot for (slot,) in loaded) == sorted(naive(moment) for moment in MOMENTS)


@proves("odd-zone", sees="`htw rebuild` on a machine in Newfoundland gives the facts of one in UTC")
def test_a_rebuild_in_another_zone_gives_the_same_facts(years: tuple[Folder, Folder]) -> None:
    in_utc = years[0].pipeline
    before = facts(in_utc, without={"_load_seq"})
    htw = Htw(years[0].sandbox.api_url, years[0].sandbox.token, in_utc.settings.data_dir)
    environment = htw.environment(coins="BTC,ETH", datasets=",".join(DATASETS)) | {"TZ": NEWFOUNDLAND}
    result = subprocess.run(command("rebuild"), env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert facts(in_utc, without={"_load_seq"}) == before


@pytest.fixture(scope="module")
def clocks(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, Folder]:
    """A machine whose clock is right, and one whose clock jumps, at the same moments of the provider."""
    slots = [QUIET_DAY + timedelta(minutes=5 * number) for number in range(7)]
    with (
        folder_of(sandbox, tmp_path_factory.mktemp("right") / "data") as right,
        folder_of(sandbox, tmp_path_factory.mktemp("wrong") / "data") as wrong,
    ):
        for number, slot in enumerate(slots):
            right.polls_at(slot)
            wrong.sandbox.clock.set(slot + ASKED_AFTER)
            wrong.skew[0] = {2: timedelta(hours=1), 4: timedelta(minutes=-50)}.get(number, timedelta())
            wrong.poll(slot + wrong.skew[0])
            if wrong.skew[0]:
                wrong.skew[0] = timedelta()
                wrong.polls_at(slot)
        for folder in (right, wrong):
            folder.build()
        return right, wrong


@proves("clock-forward", sees="`htw doctor` tells how far the clock is off; facts carry the provider's time, so none is wrong")
@proves("clock-backward", sees="the same")
def test_facts_are_the_providers_whatever_our_clock_says(clocks: tuple[Folder, Folder]) -> None:
    right, wrong = (facts(folder.pipeline) for folder in clocks)
    assert len(right["fct_open_positions"]) > 100
    assert set(right["fct_market_metrics"]) <= set(wrong["fct_market_metrics"])
    for table in ("fct_open_positions", "fct_coin_metrics", "fct_size_bucket_metrics"):
        assert right[table] == wrong[table], table


@proves("clock-forward", sees="every slot keeps one verdict")
@proves("clock-backward", sees="every slot keeps one verdict")
def test_every_slot_has_one_verdict_whatever_our_clock_says(clocks: tuple[Folder, Folder]) -> None:
    for folder in clocks:
        assert check_coverage(folder.pipeline, QUIET_DAY, QUIET_DAY + timedelta(minutes=35)) == []


@proves("asleep", sees="what was half asked for is not shown; the hour's slots are missed: “nothing asked for it”")
def test_a_machine_asleep_in_mid_sweep_shows_no_half_snapshot(
    sandbox: Sandbox, tmp_path: Path, said: Callable[..., None]
) -> None:
    woke = QUIET_DAY + timedelta(hours=1)
    with folder_of(sandbox, tmp_path / "data") as folder:
        folder.polls_at(QUIET_DAY - timedelta(minutes=15))
        sandbox.clock.set(QUIET_DAY + ASKED_AFTER)
        folder.poll(QUIET_DAY, naps=woke - QUIET_DAY)
        folder.polls_at(woke)
        missing = check_coverage(folder.pipeline, QUIET_DAY, woke)
        slept = {slot for dataset, _, slot, _ in missing if dataset == "coins"}
        assert {naive(QUIET_DAY + timedelta(minutes=15 * number)) for number in (1, 2, 3)} <= slept
        with open_reader(folder.pipeline.settings.warehouse_file) as connection:
            window = [naive(QUIET_DAY), naive(woke)]
            said(*connection.execute("select distinct reason from ops.slot_coverage(?, ?) where is_missing", window).fetchall())
        folder.build()
        positions = {row[0] for row in facts(folder.pipeline)["fct_open_positions"]}
    assert len(positions) == 2
    assert not [moment for moment in positions if naive(QUIET_DAY) < moment < naive(woke - timedelta(minutes=20))]
