"""The rhythm of the provider and the plan: a state is asked for once and soon, the plan's slots alone, and the heal job heals."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from orchestration.definitions import build_definitions
from orchestration.filling import healing, run_errands, sole_healing
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.pipeline import Pipeline
from orchestration.planning.slots import Cadence
from orchestration.state_gate import Awaited, awaited
from sandbox import Fault
from tests.pipeline.conftest import DAY, Day
from warehouse.connection import open_reader

pytestmark = pytest.mark.long

QUARTER = Cadence.QUARTER_HOUR
DATED = ("coins", "heatmap", "open_positions")
BEGIN = DAY + timedelta(days=2)


class Market:
    """A data folder polled by hand, without models, and the provider's states."""

    def __init__(self, day: Day, folder: Path, **wishes: Any) -> None:
        self.settings = day.settings.model_copy(update={"data_dir": folder, **wishes})
        self.day, self.pipeline = day, Pipeline(self.settings, day.clock)

    def at(self, moment: datetime) -> None:
        self.day.sandbox.clock.set(moment)

    def poll(self, slot: datetime, names: tuple[str, ...] = DATED) -> dict[str, int]:
        """Requests by dataset."""
        outcomes = self.pipeline.poll([BY_NAME[name] for name in names], slot)
        return {name: sum(o.record.requests_spent for o in outcomes if o.record.dataset == name) for name in names}

    def next_state(self) -> datetime:
        status = self.day.sandbox.market.states
        index = status.index_at(self.day.sandbox.clock.now_ms())
        return datetime.fromtimestamp(status.time(index + 1) / 1000, BEGIN.tzinfo)


@pytest.fixture(scope="module")
def day(new_day: Any) -> Day:
    made: Day = new_day(coins="BTC,ETH", positions=200, orders=100, start=BEGIN)
    return made


def slot_with_the_state_of_the_one_before(market: Market) -> datetime:
    """Poll until a slot begins with a state that was there at the one before."""
    for count in range(60):
        slot = BEGIN + count * QUARTER.step
        market.at(slot + timedelta(seconds=5))
        if market.poll(slot)["coins"] == 0:
            return slot
    raise AssertionError("no state lasted longer than a slot")


def test_a_state_that_is_there_is_not_asked_for_again_and_the_next_one_soon(day: Day, tmp_path: Path) -> None:
    market = Market(day, tmp_path)
    slot = slot_with_the_state_of_the_one_before(market)
    published, brought_at, tries = market.next_state(), None, 0
    assert published < slot + QUARTER.step
    assert isinstance(awaited(market.pipeline, QUARTER, DATED), str)
    while brought_at is None and market.pipeline.clock.now() < slot + QUARTER.step:
        market.at(market.pipeline.clock.now() + timedelta(seconds=30))
        if isinstance(awaited(market.pipeline, QUARTER, DATED), Awaited):
            tries += 1
            spent = market.poll(slot)
            assert spent in ({"coins": 0, "heatmap": 0, "open_positions": 0}, {"coins": 1, "heatmap": 1, "open_positions": 2})
            brought_at = market.pipeline.clock.now() if spent["coins"] else None
    assert brought_at is not None
    assert published <= brought_at < published + timedelta(minutes=8)
    assert tries <= 4
    assert awaited(market.pipeline, QUARTER, DATED) == "nothing waits for a state"


def test_every_state_is_there_once(day: Day, tmp_path: Path) -> None:
    market = Market(day, tmp_path)
    for count in range(12):
        slot = BEGIN + timedelta(days=1) + count * QUARTER.step
        for minute in range(15):
            market.at(slot + timedelta(minutes=minute, seconds=5))
            if minute == 0 or isinstance(awaited(market.pipeline, QUARTER, DATED), Awaited):
                market.poll(slot)
    with open_reader(market.settings.warehouse_file) as connection:
        rows = connection.execute(
            "select snapshot_at, count(*) from ops.payloads where dataset = 'coins' group by all order by all"
        ).fetchall()
    states = day.sandbox.market.states
    first, last = (states.index_at(int(rows[end][0].replace(tzinfo=BEGIN.tzinfo).timestamp() * 1000)) for end in (0, -1))
    assert [count for _, count in rows] == [1] * (last - first + 1)
    assert last - first >= 10


def test_the_sensor_asks_for_a_run_of_what_is_dated(day: Day, tmp_path: Path) -> None:
    market = Market(day, tmp_path)
    slot_with_the_state_of_the_one_before(market)
    definitions = build_definitions(market.settings, day.clock)
    sensor = definitions.resolve_sensor_def("new_state_every_15_minutes")
    with dg.build_sensor_context(definitions=definitions) as context:
        assert sensor.evaluate_tick(context).skip_message
        market.at(market.next_state() + timedelta(minutes=1, seconds=30))
        (request,) = sensor.evaluate_tick(context).run_requests
    assert dg.AssetKey(["raw", "coins"]) in request.asset_selection
    assert dg.AssetKey(["raw", "market_metrics"]) not in request.asset_selection
    assert dg.AssetKey(["published", "hypertracker"]) in request.asset_selection


def test_a_small_plan_asks_for_its_own_slots_alone(day: Day, tmp_path: Path) -> None:
    market = Market(day, tmp_path, plan="100/day", coins="BTC")
    market.at(BEGIN + timedelta(minutes=5))
    intervals = market.pipeline.plan().intervals("coins")
    step = timedelta(seconds=intervals[""])
    assert step > QUARTER.step
    for slot in (BEGIN + step - QUARTER.step, BEGIN + step):
        market.at(slot + timedelta(seconds=5))
        assert market.poll(slot, ("coins",)) == {"coins": int(slot == BEGIN + step)}
    named = market.pipeline.poll([BY_NAME["coins"]], BEGIN + step + QUARTER.step, beyond_plan=True)
    assert named


def test_the_heal_job_fills_what_the_plan_missed(day: Day, tmp_path: Path) -> None:
    market = Market(day, tmp_path)
    slots = [BEGIN + count * QUARTER.step for count in range(4)]
    for slot in (slots[0], slots[3]):
        market.at(slot + timedelta(seconds=5))
        market.poll(slot)
    market.at(slots[3] + QUARTER.step + timedelta(seconds=5))
    definitions = build_definitions(market.settings, day.clock)
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def("heal").execute_in_process(instance=instance)
        marked = instance.get_materialized_partitions(dg.AssetKey(["raw", "open_positions"]))
    assert result.success
    assert {slot.strftime("%Y-%m-%dT%H:%MZ") for slot in slots[1:3]} <= marked
    with open_reader(market.settings.warehouse_file) as connection:
        rows = connection.execute(
            "select slot, verdict from ops.fetches where dataset = 'open_positions' and source = 'open_positions_history'"
        ).fetchall()
    assert {slot for slot, _ in rows} == {slot.replace(tzinfo=None) for slot in slots[1:3]}
    assert {verdict for _, verdict in rows} <= {"loaded", "unchanged"}


def test_what_was_loaded_at_a_slot_is_not_asked_for_again_at_the_next_state(day: Day, tmp_path: Path) -> None:
    market = Market(day, tmp_path)
    slot = slot_with_the_state_of_the_one_before(market)
    assert market.poll(slot, ("heatmap",)) == {"heatmap": 0}
    fresh = Market(day, tmp_path / "other")
    assert fresh.poll(slot, ("heatmap",)) == {"heatmap": 1}
    market.at(market.next_state() + timedelta(seconds=30))
    for poller, requests in ((market, 1), (fresh, 0)):
        outcomes = poller.pipeline.poll([BY_NAME["heatmap"]], slot, only_waiting=True)
        assert sum(o.record.requests_spent for o in outcomes if o.record.dataset == "heatmap") == requests


def test_a_poll_that_failed_is_tried_again_while_its_slot_is_in_force(day: Day, tmp_path: Path) -> None:
    market = Market(day, tmp_path, datasets="liquidation_risk")
    slot = BEGIN + timedelta(hours=2)
    market.at(slot + timedelta(seconds=5))
    market.day.sandbox.faults.add(Fault("status", path="/liquidation-risk", status=503))
    market.poll(slot, ("liquidation_risk",))
    market.day.sandbox.faults.clear()
    assert not [errand for errand in healing(market.pipeline) if errand.dataset == "liquidation_risk"]
    market.at(slot + timedelta(minutes=37))
    (errand,) = [errand for errand in healing(market.pipeline) if errand.dataset == "liquidation_risk"]
    assert (errand.slot, len(errand.scopes)) == (slot, 16)
    found = [outcome for outcomes in run_errands(market.pipeline, [errand], publish=False) for outcome in outcomes]
    assert {o.judgement.verdict.value for o in found if o.record.dataset == "liquidation_risk"} <= {"loaded", "empty"}
    assert not [errand for errand in healing(market.pipeline) if errand.dataset == "liquidation_risk"]


def test_one_heals_at_a_time(day: Day, tmp_path: Path) -> None:
    market = Market(day, tmp_path)
    tmp_path.mkdir(exist_ok=True)
    with sole_healing(market.pipeline) as first, sole_healing(market.pipeline) as second:
        assert (first, second) == (True, False)
    with sole_healing(market.pipeline) as third:
        assert third
