"""The declared order in which a quota is spent: one fixed sequence of steps, of which a plan affords the beginning.

Belongs here: the order. Does not: how far a plan gets (`quota`). Because a larger plan only gets further along the same
sequence, it never takes away what a smaller one affords.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from orchestration.planning.pace import INTERVALS, interval_words
from orchestration.planning.pollable import Breadth, Perishability, Pollable, Wishes

PERISHABLE, WINDOW, HISTORY = Perishability
MARKET, PART, COIN = Breadth
EVERYTHING = frozenset(Perishability)
WIDE, NARROW = frozenset({MARKET}), frozenset({PART, COIN})
EXPORTS_STEP = timedelta(hours=2)
LEAST_PRIORITY = 3


@dataclass(frozen=True)
class Stage:
    """Datasets of these kinds are polled more and more often, down to an interval of `finest`; None: at their rarest only."""

    says: str
    perishabilities: frozenset[Perishability]
    breadths: frozenset[Breadth]
    finest: timedelta | None
    least_priority: int = LEAST_PRIORITY

    def takes(self, pollable: Pollable, interval: timedelta) -> bool:
        """Whether polling a dataset this often belongs to this stage (or to one before it)."""
        is_ours = pollable.perishability in self.perishabilities and pollable.breadth in self.breadths
        is_far_enough = interval == pollable.intervals[0] if self.finest is None else interval >= self.finest
        return is_ours and pollable.priority <= self.least_priority and is_far_enough


STAGES = (
    Stage("one call for the whole market, each as rarely as loses least", EVERYTHING, WIDE, None),
    Stage("perishable, one call for the whole market, up to every 2 hours", frozenset({PERISHABLE}), WIDE, EXPORTS_STEP, 2),
    Stage("perishable, a call a cohort or a period, once a day", frozenset({PERISHABLE}), frozenset({PART}), None, 2),
    Stage("perishable, one call for the whole market, up to its own cadence", frozenset({PERISHABLE}), WIDE, INTERVALS[0], 2),
    Stage("perishable, a call a coin, once a day", frozenset({PERISHABLE}), frozenset({COIN}), None, 2),
    Stage("windows, often enough to lose nothing", frozenset({WINDOW}), NARROW, None),
    Stage("perishable, a call a cohort or a coin, up to every 2 hours", frozenset({PERISHABLE}), NARROW, EXPORTS_STEP, 2),
    Stage("history, and what other datasets tell too, as rarely as leaves no holes", EVERYTHING, NARROW, None),
    Stage("perishable, up to its own cadence", frozenset({PERISHABLE}), WIDE | NARROW, INTERVALS[0], 2),
    Stage("windows, up to their own cadence", frozenset({WINDOW}), WIDE | NARROW, INTERVALS[0]),
    Stage("history, and what other datasets tell too, up to its own cadence", EVERYTHING, WIDE | NARROW, INTERVALS[0]),
)


@dataclass(frozen=True)
class Step:
    """Poll one unit of a dataset at an interval, rarer ones being reached already."""

    pollable: Pollable
    unit: str
    interval: timedelta

    @property
    def says(self) -> str:
        whom = f" for {self.unit}" if self.unit else ""
        return f"{self.pollable.name}{whom} every {interval_words(self.interval)}"


def steps(wishes: Wishes) -> Iterator[Step]:
    """Every step in the declared order: by stage; in it from rare to frequent; then by priority, perishable before window
    before history, one call for the market before one a coin; last by name, and coins by open value."""
    coins, ordered = wishes.ranked_coins, sorted(wishes.pollables, key=_order)
    taken: set[tuple[Pollable, timedelta]] = set()
    for stage in STAGES:
        for interval in sorted({interval for pollable in ordered for interval in pollable.intervals}, reverse=True):
            for pollable in ordered:
                key = (pollable, interval)
                if key in taken or interval not in pollable.intervals or not stage.takes(pollable, interval):
                    continue
                taken.add(key)
                yield from (Step(pollable, unit, interval) for unit in pollable.units(coins))


def _order(pollable: Pollable) -> tuple[int, int, int, str]:
    return (pollable.priority, pollable.perishability, pollable.breadth, pollable.name)
