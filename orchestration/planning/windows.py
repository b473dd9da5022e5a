"""The days and months over which requests are counted, and what is held back in them for what is more urgent.

Belongs here: arithmetic over values. Does not: counting (`budget`), what a choice of polls costs (`spending`).

Days and months are calendar ones in UTC: when the vendor's counters start anew is not documented.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

DAY = timedelta(days=1)
MORE_THAN_A_MONTH = timedelta(days=32)
Unit = Literal["day", "month"]


@dataclass(frozen=True)
class Window:
    """One UTC day or month, half-open: `[start, end)`."""

    unit: Unit
    start: datetime
    end: datetime


def day_at(moment: datetime) -> Window:
    """The UTC day that holds an instant (UTC)."""
    start = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return Window("day", start, start + DAY)


def month_at(moment: datetime) -> Window:
    """The UTC month that holds an instant (UTC)."""
    start = day_at(moment).start.replace(day=1)
    return Window("month", start, (start + MORE_THAN_A_MONTH).replace(day=1))


def window_at(unit: Unit, moment: datetime) -> Window:
    return day_at(moment) if unit == "day" else month_at(moment)


def held_back(a_day: int, window: Window, now: datetime) -> int:
    """Of so many requests a day, those that fall into the rest of the window; a part of a request counts as one."""
    rest = max(window.end - now, timedelta())
    return -(-a_day * (rest // timedelta(microseconds=1)) // (DAY // timedelta(microseconds=1)))


def enough_from(left: int, a_day: int, window: Window) -> datetime:
    """From when `left` requests are enough for `a_day` over the rest of the window. `a_day` is above 0."""
    return max(window.start, window.end - left * DAY / a_day)
