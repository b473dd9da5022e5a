"""The quota plan: what is polled and how often, so that it fits a plan. Pure functions over values.

Belongs here: the result as a value, and how it is found. Does not: the order of steps (`ladder`), what they cost (`spending`),
the words for it (`orchestration.affording_report`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby, takewhile

from orchestration.planning.ladder import Step, steps
from orchestration.planning.pace import slots_a_month
from orchestration.planning.plans import Plan
from orchestration.planning.pollable import Perishability, Pollable, Wishes
from orchestration.planning.spending import Allowance, Load, Spending, all_loads, dataset_loads, reading_loads, spending


@dataclass(frozen=True)
class Pace:
    """Units of a dataset, most wanted first, that are polled at one interval."""

    interval: timedelta
    units: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """What becomes of one dataset: its paces, most frequent first, the units that are not polled at all, and the cost."""

    pollable: Pollable
    paces: tuple[Pace, ...]
    uncovered: tuple[str, ...]
    spending: Spending

    @property
    def covered_count(self) -> int:
        return sum(len(pace.units) for pace in self.paces)

    @property
    def is_whole(self) -> bool:
        """Whether every unit is polled as often as is wished for."""
        return not self.uncovered and all(pace.interval == self.pollable.finest for pace in self.paces)

    @property
    def slots_fraction(self) -> float:
        """Polled slots of those that are wished for, 0-1; 1 where nothing is."""
        wished = (self.covered_count + len(self.uncovered)) * slots_a_month(self.pollable.finest)
        polled = sum(len(pace.units) * slots_a_month(pace.interval) for pace in self.paces)
        return polled / wished if wished else 1.0

    @property
    def coverage_fraction(self) -> float:
        """What is kept of what the dataset could give, 0-1: its slots where they are perishable; else its units, because each
        poll brings what the slots left out would have brought."""
        if self.pollable.perishability is Perishability.PERISHABLE:
            return self.slots_fraction
        wished = self.covered_count + len(self.uncovered)
        return self.covered_count / wished if wished else 1.0

    def interval_of(self, unit: str) -> timedelta | None:
        return next((pace.interval for pace in self.paces if unit in pace.units), None)


@dataclass(frozen=True)
class Next:
    """The step that no longer fits, and what it would cost in 31 days."""

    step: Step
    month: int


@dataclass(frozen=True)
class QuotaPlan:
    """What a plan affords: a choice a dataset, by name; readings of the state around sweeps; totals; the step after; and the
    datasets that its limit a minute, rather than its requests, keeps from more."""

    plan: Plan
    allowance: Allowance
    choices: tuple[Choice, ...]
    readings: Spending
    total: Spending
    next: Next | None
    held_by_minute: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        return all(choice.is_whole for choice in self.choices)

    def choice(self, name: str) -> Choice:
        return next(choice for choice in self.choices if choice.pollable.name == name)


def plan_quota(plan: Plan, wishes: Wishes) -> QuotaPlan:
    """The most that a plan affords along the declared order of steps. The same for the same values, in whatever order."""
    allowance, ladder = Allowance.of(plan, wishes.reserve_fraction), list(steps(wishes))
    timely = _timely(ladder, allowance)
    count = _longest(timely, allowance.affords)
    return _result(plan, wishes, allowance, ladder, timely, count)


def everything(wishes: Wishes) -> Spending:
    """What the wishes cost in full: every dataset for every coin at its own cadence."""
    return spending(all_loads(_reached(list(steps(wishes)))))


def _timely(ladder: Sequence[Step], allowance: Allowance) -> list[Step]:
    """The ladder without the steps that the limit a minute rules out. Where slots would end unfilled, nothing more is asked of
    the datasets whose slots are as short; the others go on."""
    timely, count = list(ladder), 0
    while (count := _longest(timely, allowance.is_in_time)) < len(timely):
        late_at = allowance.late_at(all_loads(_reached(timely[: count + 1]))) or timely[count].pollable.step
        timely[count:] = [step for step in timely[count:] if step.pollable.step > late_at]
    return timely


def _longest(ladder: Sequence[Step], is_fine: Callable[[list[Load]], bool]) -> int:
    """How many steps of a ladder, from its beginning, are fine. No step makes a choice cheaper, so there is one such number."""
    return bisect_left(range(1, len(ladder) + 1), True, key=lambda count: not is_fine(all_loads(_reached(ladder[:count]))))


def _result(
    plan: Plan, wishes: Wishes, allowance: Allowance, ladder: Sequence[Step], timely: Sequence[Step], count: int
) -> QuotaPlan:
    reached, coins = _reached(timely[:count]), wishes.ranked_coins
    pollables = sorted(wishes.pollables, key=lambda pollable: pollable.name)
    choices = tuple(_choice(pollable, coins, reached.get(pollable, {})) for pollable in pollables)
    total = spending(all_loads(reached))
    after = spending(all_loads(_reached(timely[: count + 1])))
    following = Next(timely[count], after.month - total.month) if count < len(timely) else None
    held = _held(ladder, timely, following)
    return QuotaPlan(plan, allowance, choices, spending(reading_loads(reached)), total, following, held)


def _held(ladder: Sequence[Step], timely: Sequence[Step], following: Next | None) -> tuple[str, ...]:
    """Datasets with steps that were ruled out for being late before the requests ran out."""
    considered = takewhile(lambda step: following is None or step != following.step, ladder)
    kept = set(timely)
    return tuple(sorted({step.pollable.name for step in considered if step not in kept}))


def _reached(ladder: Sequence[Step]) -> dict[Pollable, dict[str, timedelta]]:
    """How often each dataset is polled for each unit after these steps."""
    reached: dict[Pollable, dict[str, timedelta]] = {}
    for step in ladder:
        reached.setdefault(step.pollable, {})[step.unit] = step.interval
    return reached


def _choice(pollable: Pollable, ranked: tuple[str, ...], reached: Mapping[str, timedelta]) -> Choice:
    wished = pollable.units(ranked)
    polled = sorted((unit for unit in wished if unit in reached), key=lambda unit: reached[unit])
    paces = tuple(Pace(interval, tuple(units)) for interval, units in groupby(polled, key=lambda unit: reached[unit]))
    uncovered = tuple(unit for unit in wished if unit not in reached)
    return Choice(pollable, paces, uncovered, spending(dataset_loads(pollable, reached)))
