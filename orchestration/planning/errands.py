"""What fills slots that are over: which requests, in which order, how many. Pure functions over values.

Belongs here: turning what is lacking into errands. Does not: knowing what is lacking (`warehouse.coverage`), running errands
(`orchestration.filling`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate

MOST_ATTEMPTS = 8
FIRST_PAUSE = timedelta(minutes=15)
LONGEST_PAUSE = timedelta(days=1)


@dataclass(frozen=True)
class Lack:
    """One slot of one scope that has not arrived and can still be had, until `expires_at` (UTC), for `cost` requests.

    `attempts` were made for it, the last of which ended at `tried_at`.
    """

    dataset: str
    scope: str
    slot: datetime
    expires_at: datetime
    cost: int
    attempts: int = 0
    tried_at: datetime | None = None

    def is_worth_trying(self, now: datetime) -> bool:
        """Each failure doubles the pause before the next attempt, up to a day, and to a quarter of the time that is left; after
        the eighth it is left to people."""
        if self.tried_at is None or not self.attempts:
            return True
        left = (self.expires_at - self.tried_at) / 4
        pause = min(FIRST_PAUSE * 2 ** min(self.attempts - 1, MOST_ATTEMPTS), LONGEST_PAUSE, left)
        return self.attempts < MOST_ATTEMPTS and self.tried_at + pause <= now


@dataclass(frozen=True)
class Filling:
    """How a dataset's past is asked for. `step` lies between its slots; one answer for a slot fills all that begin less than
    `reach` before it (None: everything before it). `at` is the one slot that can be asked for, where it is not the past one:
    an export that always tells its last days. `is_shared`: one answer fills the slot of every scope.
    """

    step: timedelta
    reach: timedelta | None = timedelta()
    at: datetime | None = None
    is_shared: bool = False

    def fills(self, asked: datetime, slot: datetime) -> bool:
        return slot <= asked and (self.reach is None or asked - slot <= max(self.reach - self.step, timedelta()))


@dataclass(frozen=True)
class Errand:
    """Ask one slot of a dataset for these scopes; `slot_count` slots are filled by it. `expires_at` is when the first of them
    is lost."""

    dataset: str
    slot: datetime
    scopes: tuple[str, ...]
    cost: int
    slot_count: int
    expires_at: datetime


def errands_for(lacks: Iterable[Lack], filling: Filling) -> list[Errand]:
    """The fewest errands that fill what one dataset lacks, in the order of `urgent_first`."""
    asked: dict[datetime, dict[str, list[Lack]]] = defaultdict(dict)
    for scope_lacks in _by_scope(lacks).values():
        for slot, filled in _answers(scope_lacks, filling):
            asked[slot][filled[0].scope] = filled
    return urgent_first(_errand(slot, by_scope, filling) for slot, by_scope in asked.items())


def urgent_first(errands: Iterable[Errand]) -> list[Errand]:
    """What is lost first goes first; what is lost together goes in the order of time, so that a budget which ends early leaves
    one gap and not many."""
    return sorted(errands, key=lambda errand: (errand.expires_at, errand.slot, errand.dataset))


def within(errands: Sequence[Errand], requests: int) -> list[Errand]:
    """The errands from the first on that so many requests pay for; of the one at the edge, the scopes that they pay for."""
    kept = [errand for errand, total in zip(errands, accumulate(e.cost for e in errands), strict=True) if total <= requests]
    left = requests - sum(errand.cost for errand in kept)
    if len(kept) == len(errands) or not (part := _part(errands[len(kept)], left)):
        return kept
    return [*kept, part]


def _part(errand: Errand, requests: int) -> Errand | None:
    each = -(-errand.cost // len(errand.scopes))
    scopes = errand.scopes[: requests // each]
    return replace(errand, scopes=scopes, cost=each * len(scopes)) if scopes and len(errand.scopes) > 1 else None


def _by_scope(lacks: Iterable[Lack]) -> dict[str, list[Lack]]:
    found: dict[str, list[Lack]] = defaultdict(list)
    for lack in lacks:
        found[lack.scope].append(lack)
    return found


def _answers(lacks: Sequence[Lack], filling: Filling) -> list[tuple[datetime, list[Lack]]]:
    """The slots to ask for, newest first, each with the lacks of one scope that its answer fills."""
    left, answers = sorted(lacks, key=lambda lack: lack.slot), []
    while left:
        filled = [left.pop()]
        slot = filling.at or filled[0].slot
        while left and filling.fills(slot, left[-1].slot):
            filled.append(left.pop())
        answers.append((slot, filled))
    return answers


def _errand(slot: datetime, by_scope: dict[str, list[Lack]], filling: Filling) -> Errand:
    lacks = [lack for filled in by_scope.values() for lack in filled]
    costs = [max(lack.cost for lack in filled) for filled in by_scope.values()]
    cost = max(costs) if filling.is_shared else sum(costs)
    return Errand(lacks[0].dataset, slot, tuple(by_scope), cost, len(lacks), min(lack.expires_at for lack in lacks))
