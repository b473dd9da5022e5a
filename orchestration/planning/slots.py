"""The slot grid: which UTC instants a cadence makes due. A pure function of the cadence, never of when a process ran."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Cadence(StrEnum):
    """How often a dataset is due; the value is the cron expression in UTC."""

    FIVE_MINUTES = "*/5 * * * *"
    QUARTER_HOUR = "*/15 * * * *"
    TWO_HOURS = "0 */2 * * *"
    DAY = "0 0 * * *"

    @property
    def step(self) -> timedelta:
        return STEPS[self]

    @property
    def label(self) -> str:
        """As it stands in job names and messages."""
        return LABELS[self]


STEPS = {
    Cadence.FIVE_MINUTES: timedelta(minutes=5),
    Cadence.QUARTER_HOUR: timedelta(minutes=15),
    Cadence.TWO_HOURS: timedelta(hours=2),
    Cadence.DAY: timedelta(days=1),
}
LABELS = {
    Cadence.FIVE_MINUTES: "5_minutes",
    Cadence.QUARTER_HOUR: "15_minutes",
    Cadence.TWO_HOURS: "2_hours",
    Cadence.DAY: "day",
}


def slot_at(cadence: Cadence, moment: datetime) -> datetime:
    """The slot in force at a moment: the latest grid instant not after it."""
    return EPOCH + (moment.astimezone(UTC) - EPOCH) // cadence.step * cadence.step


def is_slot(cadence: Cadence, moment: datetime) -> bool:
    return slot_at(cadence, moment) == moment


def slots_between(cadence: Cadence, start: datetime, end: datetime) -> Iterator[datetime]:
    """Every slot in the half-open window [start, end), oldest first."""
    slot = slot_at(cadence, start)
    slot = slot if slot >= start else slot + cadence.step
    while slot < end:
        yield slot
        slot += cadence.step
