"""A range of slots in one Dagster run, as its UI launches backfills: each slot marked by what really arrived."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from orchestration.partitions import raw_key, slot_key
from orchestration.planning.slots import Cadence, slots_between
from sandbox import Fault
from tests.pipeline.conftest import DAY, Day
from warehouse.query import query

pytestmark = pytest.mark.long

BEGIN = DAY + timedelta(days=2)
SLOTS = list(slots_between(Cadence.FIVE_MINUTES, BEGIN, BEGIN + timedelta(minutes=30)))
BROKEN = SLOTS[2]
COINS = ("BTC", "kPEPE")
ORDERS = raw_key("order_snapshots")


@pytest.fixture(scope="module")
def market_day(new_day: Any) -> Day:
    made: Day = new_day(coins=",".join(COINS), positions=300, orders=300, start=BEGIN)
    made.sandbox.clock.set(BEGIN + timedelta(hours=3))
    return made


def run_range(day: Day) -> dg.ExecuteInProcessResult:
    """The run that a backfill of these slots is, of raw alone: Dagster launches models apart."""
    job = day.definitions.resolve_job_def("every_5_minutes")
    tags = {
        "dagster/asset_partition_range_start": slot_key(SLOTS[0]),
        "dagster/asset_partition_range_end": slot_key(SLOTS[-1]),
    }
    return job.execute_in_process(asset_selection=[ORDERS], instance=day.instance, tags=tags, raise_on_error=False)


def asked(day: Day) -> list[str]:
    return [request.path for request in day.sandbox.requests() if request.leg == "api"]


@pytest.fixture(scope="module")
def first(market_day: Day) -> dg.ExecuteInProcessResult:
    """One slot is refused for every coin."""
    market_day.sandbox.faults.add(Fault("status", f"5m-snapshots/{BROKEN:%Y-%m-%dT%H:%M}", status=400))
    result = run_range(market_day)
    market_day.sandbox.faults.clear()
    return result


@pytest.fixture(scope="module")
def second(market_day: Day, first: dg.ExecuteInProcessResult) -> tuple[dg.ExecuteInProcessResult, list[str]]:
    before = len(asked(market_day))
    return run_range(market_day), asked(market_day)[before:]


def test_the_run_fails_naming_the_slot_that_has_nothing(first: dg.ExecuteInProcessResult) -> None:
    assert not first.success
    (failure,) = [event.step_failure_data for event in first.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert failure.user_failure_data.metadata["missing"].value == [f"order_snapshots {slot_key(BROKEN)}"]


def test_the_others_are_marked_and_built(market_day: Day, first: dg.ExecuteInProcessResult) -> None:
    logs = market_day.instance.all_logs(first.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    events = [entry.dagster_event for entry in logs if entry.dagster_event is not None]
    marked = {event.partition for event in events if event.asset_key == ORDERS}
    assert marked == {slot_key(slot) for slot in SLOTS if slot != BROKEN}
    built = {event.asset_key for event in events}
    assert dg.AssetKey(["marts", "fct_order_versions"]) in built
    assert dg.AssetKey(["published", "hypertracker"]) in built


def test_again_asks_for_the_missing_slot_alone(market_day: Day, second: tuple[dg.ExecuteInProcessResult, list[str]]) -> None:
    result, paths = second
    assert result.success
    assert len(paths) == len(COINS)
    assert all(f"{BROKEN:%Y-%m-%dT%H}%3A{BROKEN:%M}" in path for path in paths)
    assert market_day.instance.get_materialized_partitions(ORDERS) == {slot_key(slot) for slot in SLOTS}


def test_every_slot_is_published(market_day: Day, second: tuple[dg.ExecuteInProcessResult, list[str]]) -> None:
    frame = query(
        market_day.settings.published_file,
        "select coin, count(distinct snapshot_at) as slots from fct_order_liquidity group by coin",
    )
    assert dict(zip(frame["coin"], frame["slots"], strict=True)) == dict.fromkeys(COINS, len(SLOTS))
