"""How often: the intervals at which a dataset may be polled, and how many slots they make.

Belongs here: intervals as values. Does not: which one a dataset gets (`quota`).
"""

from __future__ import annotations

import re
from datetime import timedelta

DAY = timedelta(days=1)
DAYS_A_MONTH = 31
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
WORDED = re.compile(r"(\d+)\s*(min|h|days?)")
UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1), "day": DAY, "days": DAY}

# Up to a day each is a multiple of the one before: a rarer dataset's slots are slots of the more frequent ones too, so that what
# is compared with each other was looked at in the same instant.
INTERVALS = (
    *(timedelta(minutes=minutes) for minutes in (5, 15, 30)),
    *(timedelta(hours=hours) for hours in (1, 2, 4, 8)),
    *(timedelta(days=days) for days in (1, 3, 7)),
)


def intervals_from(step: timedelta, rarest: timedelta) -> tuple[timedelta, ...]:
    """The intervals that are whole multiples of a step and not above `rarest`, rarest first; the step itself at least."""
    found = [interval for interval in INTERVALS if step < interval <= rarest and interval % step == timedelta()]
    return (*reversed(found), step)


def slots_a_day(interval: timedelta) -> int:
    """Slots of the busiest day: an interval of several days has its whole slot on one of them."""
    return max(1, DAY // interval)


def slots_a_month(interval: timedelta) -> int:
    """The most slots that 31 days can hold."""
    return -(-DAYS_A_MONTH * DAY // interval)


def parse_interval(text: str) -> timedelta:
    """`15min`, `2h`, `1day` as an interval. Raises `ValueError` for anything else, nothing and zero among it."""
    match = WORDED.fullmatch(text.strip())
    if match is None or not int(match[1]):
        raise ValueError(f"{text!r} is no interval such as 15min, 2h or 1day")
    return int(match[1]) * UNITS[match[2]]


def interval_words(interval: timedelta) -> str:
    """`15 min`, `2 h`, `1 day`, `3 days`."""
    seconds = int(interval.total_seconds())
    if seconds % DAY_S == 0:
        return "1 day" if seconds == DAY_S else f"{seconds // DAY_S} days"
    return f"{seconds // HOUR_S} h" if seconds % HOUR_S == 0 else f"{seconds // MINUTE_S} min"
