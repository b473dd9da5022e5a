"""Sums over the positions of a state: by coin, by coin and cohort, by coin and size bucket, by cohort.

This is what the endpoints serve; `truth` computes the same independently, for tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sandbox.market.cohorts import BUCKET_COUNT, COHORT_COUNT
from sandbox.market.hashing import Array, Cache
from sandbox.market.positions import PositionBook, Snapshot
from sandbox.times import RECENCIES_MS

_COIN_STATES_KEPT = 4_096
_GROUP_STATES_KEPT = 160
_MARKET_STATES_KEPT = 20_000


@dataclass(frozen=True)
class Totals:
    """Sums of positions; the arrays have one entry a group. Values in millionths of a dollar, sizes in lots,
    `unrealized` and `funding` in USD."""

    count: Array
    count_long: Array
    value: Array
    value_long: Array
    near: Array
    lots: Array
    lots_long: Array
    unrealized: Array
    funding: Array
    in_profit: Array

    def at(self, *group: int) -> Totals:
        """Give one group's sums, as numbers."""
        return Totals(*(column[group].item() for column in vars(self).values()))

    def of_coin(self, code: int) -> Totals:
        """Give the sums of one coin's groups."""
        return Totals(*(column[code] for column in vars(self).values()))


def sum_up(snapshot: Snapshot, groups: Array, shape: tuple[int, ...], chosen: Array | None = None) -> Totals:
    """Sum a snapshot's positions by group number; `chosen` restricts the positions."""
    pick = slice(None) if chosen is None else chosen
    length = int(np.prod(shape))

    def total(weights: Array | None = None, kind: type = np.int64) -> Array:
        sums = np.bincount(groups[pick], None if weights is None else weights[pick], minlength=length)
        return sums.astype(kind).reshape(shape)

    long, value, lots = snapshot.is_long, snapshot.value_micro, snapshot.lots
    return Totals(
        count=total(),
        count_long=total(long),
        value=total(value),
        value_long=total(value * long),
        near=total(value * snapshot.near),
        lots=total(lots),
        lots_long=total(lots * long),
        unrealized=np.round(total(snapshot.unrealized, float), 6),
        funding=np.round(total(snapshot.funding, float), 6),
        in_profit=total(snapshot.unrealized > 0),
    )


def _add(left: Totals, right: Totals) -> Totals:
    return Totals(*(a + b for a, b in zip(vars(left).values(), vars(right).values(), strict=True)))


class Aggregates:
    """The sums of any state, kept for the states asked for last. `recency` is `all`, `24h`, `7d` or `30d`: only
    positions opened within that time before the state."""

    def __init__(self, book: PositionBook) -> None:
        """Sum over the positions of `book`."""
        self._book = book
        self._coin_count = len(book.coins.names)
        self._coins = Cache(_COIN_STATES_KEPT)
        self._cohorts = Cache(_GROUP_STATES_KEPT)
        self._buckets = Cache(_GROUP_STATES_KEPT)
        self._market = Cache(_MARKET_STATES_KEPT)

    def coins(self, index: int, recency: str = "all") -> Totals:
        """Give sums by coin."""
        return self._coins.get((index, recency), lambda: self._sum(index, recency, self._coin_count, _no_group))

    def cohorts(self, index: int, recency: str = "all") -> Totals:
        """Give sums by coin and cohort, shape (coins, 16), place = cohort id - 1; each axis holds every position."""

        def make() -> Totals:
            size = self._sum(index, recency, COHORT_COUNT, lambda s: s.wallets.size_cohort[s.wallet] - 1)
            return _add(size, self._sum(index, recency, COHORT_COUNT, lambda s: s.wallets.pnl_cohort[s.wallet] - 1))

        return self._cohorts.get((index, recency), make)

    def buckets(self, index: int, recency: str = "all") -> Totals:
        """Give sums by coin and size bucket, shape (coins, 10), place = bucket id - 1."""
        return self._buckets.get(
            (index, recency), lambda: self._sum(index, recency, BUCKET_COUNT, lambda s: s.bucket - 1)
        )

    def market_cohorts(self, index: int, recency: str = "all") -> Totals:
        """Give sums by cohort over all coins; lots of different coins do not add up and are meaningless here."""

        def make() -> Totals:
            return Totals(*(column.sum(axis=0) for column in vars(self.cohorts(index, recency)).values()))

        return self._market.get((index, recency), make)

    def market(self, index: int) -> Totals:
        """Give sums over the whole market, as numbers; lots are meaningless here."""
        return Totals(*(column.sum().item() for column in vars(self.coins(index)).values()))

    def _sum(self, index: int, recency: str, width: int, group_of: Callable[[Snapshot], Array]) -> Totals:
        snapshot = self._book.snapshot(index)
        chosen = None if recency == "all" else opened_within(snapshot, recency)
        if group_of is _no_group:
            return sum_up(snapshot, snapshot.coin, (self._coin_count,), chosen)
        return sum_up(snapshot, snapshot.coin * width + group_of(snapshot), (self._coin_count, width), chosen)


def opened_within(snapshot: Snapshot, recency: str) -> Array:
    """Tell which positions were opened within the recency before their state."""
    return snapshot.opened_ms >= snapshot.time_ms - RECENCIES_MS[recency]


def _no_group(snapshot: Snapshot) -> Array:
    return np.zeros(len(snapshot.slot), dtype=np.int64)
