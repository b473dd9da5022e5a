"""What the quota plan needs to know of a dataset, and what is wished for.

Belongs here: the plan's inputs as values. Does not: reading them from registry, settings and vault (`orchestration.affording`),
the order in which they are served (`ladder`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum

from orchestration.planning.pace import DAY, intervals_from

# Rarer than this, even what loses nothing is too old to be of use.
RAREST = timedelta(days=7)


class Perishability(IntEnum):
    """What becomes of a slot that was not polled; the lower, the sooner it is served."""

    PERISHABLE = 0
    WINDOW = 1
    HISTORY = 2


class Breadth(IntEnum):
    """What one request is about; the lower, the more it brings."""

    MARKET = 0
    PART = 1
    COIN = 2


@dataclass(frozen=True)
class Pollable:
    """One dataset, as the quota sees it.

    `step` is its own cadence. It is polled a unit at a time: by coin, or by its `parts` (such as ages of positions), most wanted
    first; a dataset without parts is one unit `''`. `requests` is what one slot of one unit costs.
    `reaches_back` is how much of the past one answer holds (None: all of it; of no meaning where perishable). `settle` is how
    long after its slot it is published. `if_missed` says what becomes of a slot that is not polled. `wanted_every` is how fresh
    it is wished for, where that is less often than its own cadence.
    """

    name: str
    step: timedelta
    perishability: Perishability
    breadth: Breadth
    requests: int = 1
    parts: tuple[str, ...] = ("",)
    priority: int = 2
    reaches_back: timedelta | None = None
    settle: timedelta = timedelta()
    is_dated_by_state: bool = False
    is_state: bool = False
    if_missed: str = "lost"
    wanted_every: timedelta = timedelta()

    def __hash__(self) -> int:
        # Names tell datasets apart; hashing every field for each of some ten thousand steps takes most of the time.
        return hash(self.name)

    @property
    def intervals(self) -> tuple[timedelta, ...]:
        """How often it may be polled, rarest first: never so rarely that a window or a series would have holes."""
        possible = intervals_from(self.step, self.rarest)
        return tuple(interval for interval in possible if interval >= self.wanted_every) or possible[:1]

    @property
    def finest(self) -> timedelta:
        """The most often it is polled where requests are no matter."""
        return self.intervals[-1]

    @property
    def rarest(self) -> timedelta:
        if self.perishability is Perishability.PERISHABLE:
            return DAY
        if self.reaches_back is None:
            return RAREST
        # What leaves the window is lost, so one failed poll must not be enough to lose it; history can be asked for again.
        is_window = self.perishability is Perishability.WINDOW
        return min(RAREST, self.reaches_back / 2 if is_window else self.reaches_back)

    def units(self, coins: tuple[str, ...]) -> tuple[str, ...]:
        """What may be polled at a pace of its own, given the wished coins."""
        return coins if self.breadth is Breadth.COIN else self.parts


@dataclass(frozen=True)
class Wishes:
    """What is wanted: coins with their open value (USD, or anything that orders them), datasets, and the fraction of the
    plan that is left for retries, healing and backfill."""

    coins: Mapping[str, float]
    pollables: frozenset[Pollable]
    reserve_fraction: float = 0.0

    @property
    def ranked_coins(self) -> tuple[str, ...]:
        """Largest open value first, equal ones by name."""
        return tuple(sorted(self.coins, key=lambda coin: (-self.coins[coin], coin)))
