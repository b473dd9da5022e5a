"""The quota plan: what is polled and how often, so that it fits a plan. Pure functions over values.

Belongs here: the result as a value, and how it is found. Does not: the order of steps (`ladder`), what they cost (`spending`),
the words for it (`orchestration.affording_report`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

from orchestration.planning.ladder import Step, steps
from orchestration.planning.pace import slots_a_month
from orchestration.planning.plans import Plan
from orchestration.planning.pollable import Pollable, Wishes
from orchestration.planning.spending import Allowance, Spending, all_loads, dataset_loads, reading_loads, spending


@dataclass(frozen=True)
class Pace:
    """Coins, largest open value first, that are polled at one interval; `('',)` where the dataset is not asked by coin."""

    interval: timedelta
    coins: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """What becomes of one dataset: its paces, most frequent first, the coins that are not polled at all, and the cost."""

    pollable: Pollable
    paces: tuple[Pace, ...]
    uncovered: tuple[str, ...]
    spending: Spending

    @property
    def covered_count(self) -> int:
        return sum(len(pace.coins) for pace in self.paces)

    @property
    def is_whole(self) -> bool:
        """Whether every coin is polled at the dataset's own cadence."""
        return not self.uncovered and all(pace.interval == self.pollable.step for pace in self.paces)

    @property
    def slots_fraction(self) -> float:
        """Polled slots of those that the dataset's own cadence makes, 0-1; 1 where nothing is wished for."""
        wished = (self.covered_count + len(self.uncovered)) * slots_a_month(self.pollable.step)
        polled = sum(len(pace.coins) * slots_a_month(pace.interval) for pace in self.paces)
        return polled / wished if wished else 1.0

    def interval_of(self, coin: str) -> timedelta | None:
        return next((pace.interval for pace in self.paces if coin in pace.coins), None)


@dataclass(frozen=True)
class Next:
    """The step that no longer fits, and what it would cost in 31 days."""

    step: Step
    month: int


@dataclass(frozen=True)
class QuotaPlan:
    """What a plan affords: a choice a dataset, by name; readings of the state around sweeps; totals; the step after."""

    plan: Plan
    allowance: Allowance
    choices: tuple[Choice, ...]
    readings: Spending
    total: Spending
    next: Next | None

    @property
    def is_whole(self) -> bool:
        return all(choice.is_whole for choice in self.choices)

    def choice(self, name: str) -> Choice:
        return next(choice for choice in self.choices if choice.pollable.name == name)


def plan_quota(plan: Plan, wishes: Wishes) -> QuotaPlan:
    """The most that a plan affords along the declared order of steps. The same for the same values, in whatever order."""
    allowance, ladder = Allowance.of(plan, wishes.reserve_fraction), list(steps(wishes))

    def is_too_much(count: int) -> bool:
        return not allowance.affords(all_loads(_reached(ladder[:count])))

    # Each step costs something, so what fits is the beginning up to the first that does not.
    count = bisect_left(range(1, len(ladder) + 1), True, key=is_too_much)
    return _result(plan, wishes, allowance, ladder, count)


def everything(wishes: Wishes) -> Spending:
    """What the wishes cost in full: every dataset for every coin at its own cadence."""
    return spending(all_loads(_reached(list(steps(wishes)))))


def _result(plan: Plan, wishes: Wishes, allowance: Allowance, ladder: Sequence[Step], count: int) -> QuotaPlan:
    reached, coins = _reached(ladder[:count]), wishes.ranked_coins
    pollables = sorted(wishes.pollables, key=lambda pollable: pollable.name)
    choices = tuple(_choice(pollable, coins, reached.get(pollable, {})) for pollable in pollables)
    total = spending(all_loads(reached))
    after = spending(all_loads(_reached(ladder[: count + 1])))
    following = Next(ladder[count], after.month - total.month) if count < len(ladder) else None
    return QuotaPlan(plan, allowance, choices, spending(reading_loads(reached)), total, following)


def _reached(ladder: Sequence[Step]) -> dict[Pollable, dict[str, timedelta]]:
    """How often each dataset is polled for each coin after these steps."""
    reached: dict[Pollable, dict[str, timedelta]] = {}
    for step in ladder:
        reached.setdefault(step.pollable, {})[step.coin] = step.interval
    return reached


def _choice(pollable: Pollable, ranked: tuple[str, ...], reached: Mapping[str, timedelta]) -> Choice:
    wished = pollable.coins(ranked)
    polled = sorted((coin for coin in wished if coin in reached), key=lambda coin: reached[coin])
    paces = tuple(Pace(interval, tuple(coins)) for interval, coins in groupby(polled, key=lambda coin: reached[coin]))
    uncovered = tuple(coin for coin in wished if coin not in reached)
    return Choice(pollable, paces, uncovered, spending(dataset_loads(pollable, reached)))
