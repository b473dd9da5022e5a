"""What a choice costs: requests a day, a month, and at the worst minute.

Belongs here: counting. Does not: choosing (`quota`). Counted is one attempt a slot, with the readings of the provider's state
that a sweep needs; retries, and sweeps repeated because the state moved, are what the reserve is for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import floor

from orchestration.planning.pace import INTERVALS, slots_a_day, slots_a_month
from orchestration.planning.plans import Plan
from orchestration.planning.pollable import Pollable

MINUTE = timedelta(minutes=1)
# The provider publishes a state every 15 to 17 minutes. Slots that are as short often begin with the state of the one before.
STATE_STEP = timedelta(minutes=15)
READINGS_WHEN_ASKED_AGAIN = 2
# The units of each dataset, and how often each is polled.
Chosen = Mapping[Pollable, Mapping[str, timedelta]]


@dataclass(frozen=True)
class Load:
    """Requests that fall due together at every slot of an interval, to be sent within `due_within` of it, the first `settle`
    of which is spent waiting."""

    interval: timedelta
    requests: int
    due_within: timedelta
    settle: timedelta = timedelta()

    def due_by(self, moment: timedelta) -> int:
        """Requests whose slots end within `moment` of an instant at which everything is due."""
        return 0 if moment < self.due_within else self.requests * ((moment - self.due_within) // self.interval + 1)


@dataclass(frozen=True)
class Spending:
    """Requests: on the busiest day, in 31 days, and due together at 00:00 UTC of the busiest day."""

    day: int = 0
    month: int = 0
    at_midnight: int = 0


def dataset_loads(pollable: Pollable, chosen: Mapping[str, timedelta]) -> list[Load]:
    """What one dataset's own polls cost. A slot has to be filled before the dataset's next one by its own cadence: by then
    the provider shows another state."""
    counts = Counter(chosen.values())
    return [
        Load(interval, count * pollable.requests, pollable.step, pollable.settle) for interval, count in sorted(counts.items())
    ]


def reading_loads(chosen: Chosen) -> Iterator[Load]:
    """The provider's state is read before and after each sweep (one sweep a cadence) that holds what is dated by it. Where
    the state is polled as a dataset in the same sweep, that poll is the reading before. A slot as short as the state is asked
    once more when the next state is published, with two readings more."""
    dated = _finest({pollable: held for pollable, held in chosen.items() if pollable.is_dated_by_state})
    polled = _finest({pollable: held for pollable, held in chosen.items() if pollable.is_state})
    for step, interval in sorted(dated.items()):
        yield Load(interval, 1, step)
        if step not in polled:
            yield Load(interval, 1, step)
        elif interval < polled[step]:
            yield Load(interval, 1, step)
            yield Load(polled[step], -1, step)
        if interval == step == STATE_STEP:
            yield Load(interval, READINGS_WHEN_ASKED_AGAIN, step)


def _finest(chosen: Chosen) -> dict[timedelta, timedelta]:
    """By cadence, the most frequent interval."""
    found: dict[timedelta, timedelta] = {}
    for pollable, held in chosen.items():
        for interval in set(held.values()):
            found[pollable.step] = min(interval, found.get(pollable.step, interval))
    return found


def all_loads(chosen: Chosen) -> list[Load]:
    """Everything that a choice sends."""
    own = [load for pollable, held in chosen.items() for load in dataset_loads(pollable, held)]
    return [*own, *reading_loads(chosen)]


def spending(loads: Iterable[Load]) -> Spending:
    """The sum of loads."""
    held = list(loads)
    return Spending(
        sum(load.requests * slots_a_day(load.interval) for load in held),
        sum(load.requests * slots_a_month(load.interval) for load in held),
        sum(load.requests for load in held),
    )


@dataclass(frozen=True)
class Allowance:
    """What may be spent after the reserve: requests a day, in 31 days, a minute. None where the plan has no such limit."""

    day: int | None
    month: int
    minute: int | None

    @classmethod
    def of(cls, plan: Plan, reserve_fraction: float) -> Allowance:
        def rest(requests: int) -> int:
            # A fraction such as 0.1 is a little more or less than a tenth; a millionth of a request is not a request.
            return floor(requests * (1 - reserve_fraction) + 1e-6)

        day = None if plan.per_month else rest(plan.per_day)
        return cls(day, rest(plan.most_a_month), rest(plan.per_minute) if plan.per_minute else None)

    def affords(self, loads: Iterable[Load]) -> bool:
        held = list(loads)
        spent = spending(held)
        return (self.day is None or spent.day <= self.day) and spent.month <= self.month and self.is_in_time(held)

    def is_in_time(self, loads: Iterable[Load]) -> bool:
        """Whether everything due together at 00:00 UTC, and again at each slot after it, is sent before its slot ends, if what
        ends first is sent first."""
        return self.late_at(loads) is None

    def late_at(self, loads: Iterable[Load]) -> timedelta | None:
        """The last moment after 00:00 UTC by which more slots end than could be filled; None where all is in time. As intervals
        are multiples of each other, it is enough to look at their ends."""
        held, minute = list(loads), self.minute
        if minute is None:
            return None
        late = (m for m in INTERVALS if sum(load.due_by(m) for load in held) > minute * _whole_minutes(m, held))
        return max(late, default=None)

    def minutes_for(self, requests: int) -> int | None:
        """Minutes until so many requests are sent; None without a limit."""
        return None if not self.minute else -(-requests // self.minute)


def _whole_minutes(moment: timedelta, loads: Iterable[Load]) -> int:
    return (moment - max((load.settle for load in loads if load.due_within <= moment), default=timedelta())) // MINUTE
