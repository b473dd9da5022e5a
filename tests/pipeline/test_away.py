"""The daemon away for three hours: afterwards everything that can still be had is there, the rest is missed and says why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from orchestration.definitions import datasets_by_cadence
from orchestration.filling import healing, run_errands
from orchestration.hypertracker.datasets import BY_NAME, DATASETS
from orchestration.modelling import raise_for_failures
from orchestration.pipeline import Outcome, Pipeline
from orchestration.planning.slots import Cadence, is_slot, slots_between
from tests.pipeline.conftest import DAY, Day
from warehouse.connection import open_reader
from warehouse.coverage import missing_slots
from warehouse.ledger import naive

pytestmark = pytest.mark.long

COINS = ("BTC", "xyz:GOLD")
# Two days after the other days of these tests: the files of past positions begin on 2026-03-25.
BEGIN = DAY + timedelta(days=2)
END = BEGIN + timedelta(hours=4, minutes=10)
LEFT, BACK = BEGIN + timedelta(minutes=35), BEGIN + timedelta(hours=3, minutes=35)
OF_THE_FETCH = {"known_at", "payload_id", "snapshot_at_basis", "_load_seq"}
HAD = {
    "fct_open_positions": "true",
    "fct_order_versions": "true",
    "fct_order_liquidity": "true",
    "fct_market_metrics": "true",
    "fct_perp_volume": "true",
    "fct_coin_metrics": "dataset in ('coin_metrics', 'position_metrics_export') and is_on_grid",
    "fct_cohort_metrics": "dataset = 'coin_cohort_metrics' or epoch_us(snapshot_at) % 43200000000 = 0",
    "fct_wallet_equity": "true",
}


@dataclass
class Folder:
    """One data folder, and what its polls brought."""

    pipeline: Pipeline
    outcomes: list[Outcome] = field(default_factory=list)

    def sweep(self, slot: datetime) -> None:
        for cadence, datasets in datasets_by_cadence(self.pipeline.settings).items():
            if is_slot(cadence, slot):
                self.outcomes += self.pipeline.poll(datasets, slot)

    def build(self) -> None:
        raise_for_failures(self.pipeline.build())

    def rows(self, sql: str, *values: Any) -> pd.DataFrame:
        with open_reader(self.pipeline.settings.warehouse_file) as connection:
            return connection.execute(sql, list(values)).df()

    def coverage(self, until: datetime = END) -> pd.DataFrame:
        return self.rows("select * from ops.slot_coverage(?, ?)", naive(BEGIN), naive(until))


@pytest.fixture(scope="module")
def folders(new_day: Any) -> tuple[Folder, Folder, Day]:
    """One that polled all the time, and one that was away, both of the same market at the same moments."""
    made: Day = new_day(coins=",".join(COINS), positions=500, orders=300, start=BEGIN)
    settings = made.settings.model_copy(update={"data_dir": made.settings.data_dir / "away"})
    steady, away = Folder(made.pipeline), Folder(Pipeline(settings, made.clock))
    for slot in slots_between(Cadence.FIVE_MINUTES, BEGIN, END):
        made.sandbox.clock.set(slot + timedelta(seconds=5))
        steady.sweep(slot)
        if not LEFT <= slot < BACK:
            # Both look at the same moment, so that the same states are there to be seen.
            made.sandbox.clock.set(slot + timedelta(seconds=5))
            away.sweep(slot)
    made.sandbox.clock.set(END + timedelta(seconds=5))
    for folder in (steady, away):
        folder.build()
    return steady, away, made


@pytest.fixture(scope="module")
def before(folders: tuple[Folder, Folder, Day]) -> pd.DataFrame:
    return folders[1].coverage()


@pytest.fixture(scope="module")
def healed(folders: tuple[Folder, Folder, Day], before: pd.DataFrame) -> Folder:
    """The one that was away, after the errands of the heal job."""
    away = folders[1]
    errands = healing(away.pipeline)
    assert [errand.expires_at for errand in errands] == sorted(errand.expires_at for errand in errands)
    for outcomes in run_errands(away.pipeline, errands):
        away.outcomes += outcomes
    return away


def slots_away(cadence: Cadence) -> list[datetime]:
    return list(slots_between(cadence, LEFT, BACK))


def test_what_is_missing_is_known_by_name_before_it_is_healed(before: pd.DataFrame) -> None:
    for dataset in DATASETS:
        found = before[(before["dataset"] == dataset.name) & before["is_missing"]]
        scopes = dataset.scopes(COINS)
        if dataset.reaches_back is not None:
            assert found.empty or dataset.lookback is not None, dataset.name
        else:
            expected = {(scope, slot) for scope in scopes for slot in slots_away(dataset.cadence)}
            assert set(zip(found["scope"], found["slot"].dt.tz_localize(UTC), strict=True)) == expected, dataset.name
            assert set(found["verdict"]) <= {"missed"}


@pytest.mark.proves("away", sees="the rest is missed: “nothing asked for it: the schedules were not running”")
def test_everything_recoverable_is_there_and_the_rest_is_missed_and_says_why(healed: Folder, said: Callable[..., None]) -> None:
    found = healed.coverage()
    missing = found[found["is_missing"]]
    assert not missing["recoverable_until"].notna().any()
    lost = {d.name for d in DATASETS if d.is_current_state and not d.past and d.window is None and slots_away(d.cadence)}
    assert set(missing["dataset"]) == lost
    assert set(missing["verdict"]) == {"missed"}
    said(*missing["reason"])
    assert set(missing["reason"]) == {"nothing asked for it: the schedules were not running"}


@pytest.mark.proves("slots-a-day", sees="each slot that was due has one verdict in `fct_slot_coverage`")
def test_every_due_slot_has_one_verdict(healed: Folder) -> None:
    found = healed.coverage()
    assert not found.duplicated(["dataset", "scope", "slot"]).any()
    for dataset in DATASETS:
        due = len(list(slots_between(dataset.cadence, BEGIN, END - dataset.cadence.step + timedelta(microseconds=1))))
        # A day's slot that is not over yet has been asked for all the same.
        due = max(due, 1)
        own = found[(found["dataset"] == dataset.name) & (found["slot"] <= naive(END - dataset.cadence.step))]
        own = found[found["dataset"] == dataset.name] if dataset.cadence is Cadence.DAY else own
        assert len(own) == due * len(dataset.scopes(COINS)), dataset.name


@pytest.mark.proves("away", sees="what can still be had is healed, the facts are those of having been there")
@pytest.mark.parametrize("fact", HAD)
def test_facts_are_those_of_having_been_there(folders: tuple[Folder, Folder, Day], healed: Folder, fact: str) -> None:
    frames = [folder.rows(f"select * from marts.{fact} where {HAD[fact]}") for folder in (folders[0], healed)]
    shown = [name for name in frames[0].columns if name not in OF_THE_FETCH]
    first, second = (frame[shown].sort_values(shown, ignore_index=True) for frame in frames)
    assert len(first) > 5
    pd.testing.assert_frame_equal(first, second)


def test_healing_again_asks_nothing(healed: Folder) -> None:
    assert healing(healed.pipeline) == []


def test_orders_are_healed_before_what_never_is_lost(folders: tuple[Folder, Folder, Day], healed: Folder) -> None:
    sources = [outcome.record.source for outcome in healed.outcomes if outcome.record.source]
    assert sources.index("order_pages") < sources.index("open_positions_history")


def test_the_gate_spared_polls_of_a_state_that_was_there(folders: tuple[Folder, Folder, Day]) -> None:
    steady = folders[0]
    spared = [o for o in steady.outcomes if o.record.outcome == "unchanged" and o.record.requests_spent == 0]
    assert {outcome.judgement.verdict.value for outcome in spared} == {"unchanged"}
    usage = steady.rows("select sum(unchanged_polls_saved) as n from marts.fct_api_usage")
    assert int(usage["n"].iloc[0]) == len(spared) > 0


def test_requests_are_ours_as_the_provider_counts_them(folders: tuple[Folder, Folder, Day], healed: Folder) -> None:
    steady, _, made = folders
    counted = sum(request.leg == "api" for request in made.sandbox.requests())
    ours = sum(o.record.requests_spent for folder in (steady, healed) for o in folder.outcomes)
    spent = sum(sum(folder.pipeline.budget().spent_in(BEGIN.date()).values()) for folder in (steady, healed))
    assert counted == ours == spent


def test_nothing_is_missing_where_nobody_was_away(folders: tuple[Folder, Folder, Day]) -> None:
    steady = folders[0].pipeline
    with open_reader(steady.settings.warehouse_file) as connection:
        assert missing_slots(connection, BEGIN, END, list(BY_NAME)) == []
