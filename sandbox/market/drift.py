"""The market's changes as the generator asks for them: which coins are listed, what the cohorts are.

All times are epoch milliseconds. The changes themselves, as settings, are in `sandbox.drift`; restated
values belong to `restating`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

import numpy as np

from sandbox.drift import CohortRebounded, CohortRenamed, CoinDelisted, CoinListed, Drift
from sandbox.market.cohorts import COHORTS, PNL_COHORTS, SIZE_COHORTS, Cohort
from sandbox.market.hashing import Array
from sandbox.market.states import StateTimes
from sandbox.times import to_ms

_NEVER = 2**50


def first_state(states: StateTimes, at: datetime) -> int:
    """Give the index of the first state at or after an instant."""
    index = states.index_at(to_ms(at))
    return index if states.time(index) == to_ms(at) else index + 1


class Listings:
    """When each coin is listed: one entry a coin code; `*_state` are indexes of states, `until` not included."""

    def __init__(self, drift: Iterable[Drift], codes: dict[str, int], states: StateTimes) -> None:
        """Read the listings and delistings. Raises ValueError for a coin that the market does not have."""
        count = len(codes)
        self.from_state, self.until_state = np.full(count, -_NEVER), np.full(count, _NEVER)
        self.from_ms, self.until_ms = np.full(count, -_NEVER), np.full(count, _NEVER)
        self.listed_at_ms, self.delisted_at_ms = self.from_ms.copy(), self.until_ms.copy()
        for change in drift:
            if not isinstance(change, CoinListed | CoinDelisted):
                continue
            if change.coin not in codes:
                raise ValueError(f"no coin {change.coin!r} in this market")
            code, state = codes[change.coin], first_state(states, change.at)
            if isinstance(change, CoinListed):
                self.from_state[code], self.from_ms[code] = state, states.time(state)
                self.listed_at_ms[code] = to_ms(change.at)
            else:
                self.until_state[code], self.until_ms[code] = state, states.time(state)
                self.delisted_at_ms[code] = to_ms(change.at)

    def listed(self, moment_ms: int) -> Array:
        """Tell of every coin whether it is listed at a moment."""
        return (self.from_ms <= moment_ms) & (moment_ms < self.until_ms)

    def is_listed(self, code: int, moment_ms: int) -> bool:
        """Tell whether a coin is listed at a moment."""
        return bool(self.from_ms[code] <= moment_ms < self.until_ms[code])

    def clip(self, code: int, start: int, end: int) -> tuple[int, int]:
        """Give the part of [start, end] during which a coin is listed."""
        return max(start, int(self.from_ms[code])), min(end, int(self.until_ms[code]) - 1)


class CohortTable:
    """The cohorts at any moment, by id."""

    def __init__(self, drift: Iterable[Drift], states: StateTimes) -> None:
        """Read the renamings and new bounds. Raises ValueError for bounds that leave a cohort empty."""
        self._from: list[int] = []
        self._versions: list[dict[int, Cohort]] = [COHORTS]
        changes = [change for change in drift if isinstance(change, CohortRenamed | CohortRebounded)]
        for change in sorted(changes, key=lambda change: change.at):
            self._from.append(states.time(first_state(states, change.at)))
            self._versions.append(_changed(self._versions[-1], change))

    def at(self, moment_ms: int) -> dict[int, Cohort]:
        """Give the cohorts by id, ascending."""
        return self._versions[bisect_right(self._from, moment_ms)]

    def axes(self, moment_ms: int) -> tuple[tuple[Cohort, ...], tuple[Cohort, ...]]:
        """Give the cohorts of the size and of the PnL axis, each ascending by bound."""
        cohorts = self.at(moment_ms)
        size, pnl = (tuple(cohorts[cohort.id] for cohort in axis) for axis in (SIZE_COHORTS, PNL_COHORTS))
        return size, pnl


def _changed(cohorts: dict[int, Cohort], change: CohortRenamed | CohortRebounded) -> dict[int, Cohort]:
    cohort = cohorts[change.cohort]
    if isinstance(change, CohortRenamed):
        return {**cohorts, cohort.id: replace(cohort, name=change.name)}
    below = next((one for one in cohorts.values() if one.axis == cohort.axis and one.upper == cohort.lower), None)
    fits = cohort.lower is not None and below is not None and (below.lower is None or below.lower < change.lower)
    if below is None or not fits or (cohort.upper is not None and change.lower >= cohort.upper):
        raise ValueError(f"cohort {cohort.id} cannot begin at {change.lower}")
    moved = {below.id: replace(below, upper=change.lower), cohort.id: replace(cohort, lower=change.lower)}
    return {**cohorts, **moved}
