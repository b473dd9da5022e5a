"""Slots polled when they are long over: pages, archive and history files give the facts that polling in time would have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from orchestration.hypertracker.datasets import BY_NAME, ORDER_ARCHIVE, ORDER_PAGES
from orchestration.modelling import raise_for_failures
from orchestration.pipeline import Outcome, Pipeline
from sandbox import Fault
from tests.pipeline.conftest import Day
from warehouse.connection import connect

pytestmark = pytest.mark.long

COINS = ("BTC", "kPEPE", "xyz:GOLD", "hyna:BTC")
# By the late poll the first two are older than the pages of 30 days, and within the archive that ends on 2026-03-13.
ARCHIVED = (datetime(2026, 3, 11, 12, tzinfo=UTC), datetime(2026, 3, 11, 12, 5, tzinfo=UTC))
PAGED = tuple(datetime(2026, 3, 26, 12, tzinfo=UTC) + timedelta(minutes=minutes) for minutes in (0, 5, 15))
HISTORIC = (PAGED[0], PAGED[2])
# The second build puts a snapshot between two that are known, and some before all of them.
HEALED = ((PAGED[2], PAGED[0]), (PAGED[1], *reversed(ARCHIVED)))
LATE = datetime(2026, 4, 13, 6, tzinfo=UTC)
FEW_ROWS = 20
FACTS = ("fct_order_versions", "fct_order_liquidity", "fct_open_positions")
OF_THE_FETCH = {"known_at", "payload_id", "snapshot_at_basis", "_load_seq"}
ORDERS = replace(BY_NAME["order_snapshots"], past=(replace(ORDER_PAGES, page_limit=FEW_ROWS), ORDER_ARCHIVE))
POSITIONS = BY_NAME["open_positions"]


@dataclass
class Poller:
    """One data folder, and what came of each slot asked."""

    pipeline: Pipeline
    outcomes: list[Outcome]

    def poll(self, name: str, slot: datetime) -> None:
        self.outcomes += self.pipeline.poll([ORDERS if name == "orders" else POSITIONS], slot)

    def of(self, dataset: str, slot: datetime) -> list[Outcome]:
        return [found for found in self.outcomes if (found.record.dataset, found.record.slot) == (dataset, slot)]

    def rows(self, sql: str) -> pd.DataFrame:
        with connect(self.pipeline.settings.warehouse_file, read_only=True) as connection:
            return connection.execute(sql).df()

    def build(self) -> None:
        raise_for_failures(self.pipeline.build())


@pytest.fixture(scope="module")
def market_day(new_day: Any) -> Day:
    made: Day = new_day(coins=",".join(COINS), positions=900, orders=400, start=ARCHIVED[0])
    return made


@pytest.fixture(scope="module")
def timely(market_day: Day) -> Poller:
    """Every slot polled the moment it was due."""
    made = Poller(market_day.pipeline, [])
    for slot in (*ARCHIVED, *PAGED):
        market_day.sandbox.clock.set(slot + timedelta(seconds=5))
        if slot in HISTORIC:
            made.poll("positions", slot)
        made.poll("orders", slot)
    made.build()
    return made


@pytest.fixture(scope="module")
def late(market_day: Day, timely: Poller) -> Poller:  # the clock has passed the slots
    """The same slots weeks later, out of order and over two builds, from pages that repeat rows at their edges."""
    settings = market_day.settings.model_copy(update={"data_dir": market_day.settings.data_dir / "late"})
    made = Poller(Pipeline(settings, market_day.clock), [])
    market_day.sandbox.clock.set(LATE)
    for coin in COINS:
        market_day.sandbox.faults.add(Fault(kind="overlap", path=f"5m-snapshots/.*coin={coin}(&|$)", name="orders", rows=3))
    for slots in HEALED:
        for slot in slots:
            # What the fault repeats is of the page before, which must be one of the same snapshot.
            for fault in market_day.sandbox.faults.active():
                fault.memory.clear()
            made.poll("positions", slot)
            made.poll("orders", slot)
        made.build()
    return made


@pytest.mark.parametrize("slot", ARCHIVED, ids=str)
def test_the_archive_is_asked_for_once(late: Poller, slot: datetime) -> None:
    (found,) = late.of("order_snapshots", slot)
    assert (found.record.source, found.record.scope, found.judgement.verdict.value) == ("order_archive", "", "loaded")


@pytest.mark.parametrize("slot", PAGED, ids=str)
def test_pages_are_asked_for_coin_by_coin(late: Poller, slot: datetime) -> None:
    found = late.of("order_snapshots", slot)
    assert {one.record.scope: one.judgement.verdict.value for one in found} == dict.fromkeys(COINS, "loaded")
    assert {one.record.source for one in found} == {"order_pages"}
    # Some rows came twice.
    sent = sum(one.judgement.row_count for one in found)
    assert sent > sum(len(late_book(late, coin, slot)) for coin in COINS)


@pytest.mark.parametrize("slot", HISTORIC, ids=str)
def test_history_files_are_asked_for_coin_by_coin(late: Poller, slot: datetime) -> None:
    found = late.of("open_positions", slot)
    assert {one.record.scope: one.judgement.verdict.value for one in found} == dict.fromkeys(COINS, "loaded")
    assert {one.record.source for one in found} == {"open_positions_history"}


def test_positions_of_before_the_history_are_missed_and_cost_nothing(late: Poller) -> None:
    found = late.of("open_positions", ARCHIVED[0])
    assert {(one.judgement.verdict.value, one.record.requests_spent) for one in found} == {("missed", 0)}


@pytest.mark.parametrize("fact", FACTS)
def test_late_facts_are_those_of_polling_in_time(timely: Poller, late: Poller, fact: str) -> None:
    coins = ", ".join(f"'{coin}'" for coin in COINS)
    frames = [made.rows(f"select * from marts.{fact} where coin in ({coins})") for made in (timely, late)]
    shown = [name for name in frames[0].columns if name not in OF_THE_FETCH]
    first, second = (frame[shown].sort_values(shown, ignore_index=True) for frame in frames)
    assert len(first) > 100
    pd.testing.assert_frame_equal(first, second)


def late_book(made: Poller, coin: str, slot: datetime) -> pd.DataFrame:
    at = slot.replace(tzinfo=None)
    return made.rows(
        f"select * from marts.fct_order_versions where coin = '{coin}' and valid_from_at <= '{at}' "
        f"and (valid_to_at is null or valid_to_at > '{at}') order by order_id"
    )


@pytest.mark.parametrize("coin", COINS)
@pytest.mark.parametrize("slot", [*ARCHIVED, *PAGED], ids=str)
def test_late_orders_are_the_orders_that_stood(late: Poller, market_day: Day, slot: datetime, coin: str) -> None:
    truth = market_day.sandbox.market.orders_at(slot + timedelta(seconds=60), coin).sort_values("oid")
    found = late_book(late, coin, slot)
    for column, name in {"order_id": "oid", "size": "sz", "limit_price": "limitPx", "address": "address"}.items():
        assert list(found[column]) == list(truth[name]), column
    liquidity = late.rows(
        f"select sum(order_count) as n, sum(resting_size) as size from marts.fct_order_liquidity "
        f"where coin = '{coin}' and snapshot_at = '{slot.replace(tzinfo=None)}'"
    )
    assert liquidity["n"].iloc[0] == len(truth)
    assert liquidity["size"].iloc[0] == pytest.approx(truth["sz"].sum())


@pytest.mark.parametrize("coin", COINS)
@pytest.mark.parametrize("slot", HISTORIC, ids=str)
def test_late_positions_are_the_positions_that_were_open(late: Poller, market_day: Day, slot: datetime, coin: str) -> None:
    truth = market_day.sandbox.market.positions_at(slot, coin).sort_values("id")
    state_at = market_day.sandbox.market.state_at(slot).replace(tzinfo=None)
    found = late.rows(
        f"select * from marts.fct_open_positions where coin = '{coin}' and snapshot_at = '{state_at}' order by position_id"
    )
    assert list(found["position_id"]) == list(truth["id"])
    figures = {"size": "size", "value_usd": "value", "entry_price": "entryPrice", "size_cohort_id": "profile_sizeSegmentId"}
    for column, name in figures.items():
        assert list(found[column]) == pytest.approx(list(truth[name])), column
