"""The slot grid is a pure function of cadence and time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from orchestration.hypertracker.datasets import BY_NAME
from orchestration.hypertracker.endpoint import NO_KNOWN_END
from orchestration.planning.plans import parse_plan
from orchestration.planning.slots import Cadence, is_slot, slot_at, slots_between

DAY = datetime(2026, 3, 29, tzinfo=UTC)


@pytest.mark.proves("slots-a-day", sees="`htw status` counts 288, 96 and 12 slots for every UTC day")
@pytest.mark.proves("leap-day", sees="nothing: a day like any other")
@pytest.mark.proves("year-end", sees="nothing: a day like any other")
@pytest.mark.proves("dst", sees="nothing: slots are UTC's, and an hour that a zone leaves out or has twice is like any other")
@pytest.mark.parametrize(
    ("cadence", "count"),
    [(Cadence.FIVE_MINUTES, 288), (Cadence.QUARTER_HOUR, 96), (Cadence.TWO_HOURS, 12), (Cadence.DAY, 1)],
    ids=str,
)
@pytest.mark.parametrize(
    "day",
    [
        DAY,
        datetime(2026, 3, 8, tzinfo=UTC),
        datetime(2026, 11, 1, tzinfo=UTC),
        datetime(2028, 2, 29, tzinfo=UTC),
        datetime(2026, 12, 31, tzinfo=UTC),
    ],
    ids=str,
)
def test_every_utc_day_has_the_same_slots(cadence: Cadence, count: int, day: datetime) -> None:
    assert len(list(slots_between(cadence, day, day + timedelta(days=1)))) == count


@pytest.mark.proves("odd-zone", sees="a local time is the slot of its UTC time")
def test_a_local_time_falls_into_its_utc_slot() -> None:
    moment = datetime(2026, 3, 29, 3, 7, tzinfo=ZoneInfo("America/St_Johns"))
    assert slot_at(Cadence.QUARTER_HOUR, moment) == datetime(2026, 3, 29, 5, 30, tzinfo=UTC)


def test_a_slot_begins_on_its_instant() -> None:
    assert slot_at(Cadence.FIVE_MINUTES, DAY) == DAY
    assert slot_at(Cadence.FIVE_MINUTES, DAY - timedelta(microseconds=1)) == DAY - timedelta(minutes=5)
    assert not is_slot(Cadence.FIVE_MINUTES, DAY + timedelta(seconds=1))


def test_slots_between_is_half_open() -> None:
    slots = list(slots_between(Cadence.TWO_HOURS, DAY + timedelta(minutes=1), DAY + timedelta(hours=4)))
    assert slots == [DAY + timedelta(hours=2)]


@pytest.mark.parametrize(
    ("dataset", "slot", "until"),
    [
        ("coins", DAY, None),
        ("market_metrics", DAY, NO_KNOWN_END),
        ("positions", datetime(2025, 4, 3, tzinfo=UTC), None),
        ("wallets_equity_export", datetime(2020, 1, 1, tzinfo=UTC), NO_KNOWN_END),
        ("segments_bias_export", DAY, DAY + timedelta(hours=70)),
        ("order_snapshots", DAY, DAY + timedelta(days=30)),
        ("order_snapshots", datetime(2026, 2, 1, tzinfo=UTC), NO_KNOWN_END),
        ("order_snapshots", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC)),
        ("open_positions", datetime(2026, 3, 24, tzinfo=UTC), None),
        ("open_positions", datetime(2026, 3, 26, tzinfo=UTC), NO_KNOWN_END),
    ],
)
def test_how_long_a_missed_slot_can_be_had(dataset: str, slot: datetime, until: datetime | None) -> None:
    assert BY_NAME[dataset].recoverable_until(slot) == until


def test_plans_go_by_name_or_by_numbers() -> None:
    assert parse_plan("pulse").per_minute == 60
    assert parse_plan("5000/day,100/minute").per_day == 5000
    with pytest.raises(ValueError, match="one of free"):
        parse_plan("gold")
