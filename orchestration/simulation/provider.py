"""The provider of a simulated month: it counts by itself, and refuses what is above the plan.

Belongs here: counting and refusing requests. Does not: what they bring, which nobody looks at here; when it has trouble
(`weather`).
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from random import Random

from orchestration.planning.plans import Plan
from orchestration.simulation.weather import OUTAGES, Trouble, Weather

MINUTE = timedelta(minutes=1)
REFUSING = frozenset({Trouble.REFUSING})


class Fate(Enum):
    """What became of the requests that were not served."""

    SERVED = auto()
    UNREACHABLE = auto()
    FAILING = auto()
    REFUSED = auto()
    OVER_PLAN = auto()


@dataclass(frozen=True)
class Answer:
    """Of requests sent together the first `served` were; the others have one fate. `quiet_s` is asked for with a 429."""

    served: int
    fate: Fate = Fate.SERVED
    quiet_s: float = 0.0


class Provider:
    """Counts every request that reaches it: by UTC month, by UTC day, and in the 60 s before it. Times never go back."""

    def __init__(self, plan: Plan, weather: Weather, seed: int) -> None:
        self._plan, self._weather, self._random = plan, weather, Random(seed)
        self._minute: deque[tuple[datetime, int]] = deque()
        self._in_minute = 0
        self.by_day: Counter[str] = Counter()
        self.by_month: Counter[str] = Counter()
        self.worst_minute = self.over_plan = 0

    def ask(self, now: datetime, count: int) -> Answer:
        """Send so many requests in one instant (UTC)."""
        outage = self._weather.spell(now, OUTAGES)
        if outage and outage.trouble is Trouble.UNREACHABLE:
            return Answer(0, Fate.UNREACHABLE)
        if not self._is_allowed(now, count):
            self.over_plan += count
            return Answer(0, Fate.OVER_PLAN)
        if outage:
            return Answer(0, Fate.FAILING)
        if storm := self._weather.spell(now, REFUSING):
            refused = sum(self._random.random() < storm.share for _ in range(count))
            return Answer(count - refused, Fate.REFUSED if refused else Fate.SERVED, storm.quiet_s)
        return Answer(count)

    def _is_allowed(self, now: datetime, count: int) -> bool:
        """Count them, and say whether the plan has them."""
        while self._minute and self._minute[0][0] <= now - MINUTE:
            self._in_minute -= self._minute.popleft()[1]
        self._minute.append((now, count))
        self._in_minute += count
        self.by_day[f"{now:%Y-%m-%d}"] += count
        self.by_month[f"{now:%Y-%m}"] += count
        self.worst_minute = max(self.worst_minute, self._in_minute)
        return self._is_within(now)

    def _is_within(self, now: datetime) -> bool:
        plan = self._plan
        if plan.per_minute and self._in_minute > plan.per_minute:
            return False
        return (
            self.by_month[f"{now:%Y-%m}"] <= plan.per_month if plan.per_month else self.by_day[f"{now:%Y-%m-%d}"] <= plan.per_day
        )
