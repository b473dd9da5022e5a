"""Sums over the positions of a state: by coin, by coin and cohort, by coin and size bucket, by cohort.

This is what the endpoints serve; `truth` computes the same independently, for tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sandbox.market.cohorts import BUCKET_COUNT, COHORT_COUNT, SIZE_COHORTS
from sandbox.market.hashing import Array, Cache
from sandbox.market.positions import PositionBook, Snapshot
from sandbox.times import RECENCIES_MS

_COIN_STATES_KEPT = 4_096
_GROUP_CELLS_KEPT = 2_000_000
_MARKET_STATES_KEPT = 20_000


@dataclass(frozen=True)
class Total:
    """Sums of one group of positions; units as in `Totals`."""

    count: int
    count_long: int
    value: int
    value_long: int
    near: int
    lots: int
    lots_long: int
    unrealized: float
    funding: float
    in_profit: int
    near_count: int


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
    near_count: Array

    def at(self, *group: int) -> Total:
        """Give one group's sums, as numbers."""
        return Total(*(column[group].item() for column in vars(self).values()))

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
        near_count=total(snapshot.near),
    )


@dataclass(frozen=True)
class Traders:
    """The wallets of each cohort, place = cohort id - 1: how many there are, hold a position, hold a net profit;
    and perp equity in USD of all and of those with a position."""

    count: Array
    in_position: Array
    in_profit: Array
    equity: Array
    active_equity: Array


def count_traders(snapshot: Snapshot, chosen: Array | None = None) -> Traders:
    """Count a state's wallets by cohort; `chosen` restricts the positions that make a wallet active."""
    pick = slice(None) if chosen is None else chosen
    figures = snapshot.wallets
    held = snapshot.wallet[pick]
    active = np.bincount(held, minlength=len(figures.equity)) > 0
    profit = np.bincount(held, snapshot.unrealized[pick], minlength=len(figures.equity)) > 0

    def by_cohort(weights: Array) -> Array:
        size = np.bincount(figures.size_cohort - 1, weights, minlength=COHORT_COUNT)
        return size + np.bincount(figures.pnl_cohort - 1, weights, minlength=COHORT_COUNT)

    return Traders(
        count=by_cohort(np.ones(len(active))).astype(np.int64),
        in_position=by_cohort(active).astype(np.int64),
        in_profit=by_cohort(profit).astype(np.int64),
        equity=by_cohort(figures.equity),
        active_equity=by_cohort(figures.equity * active),
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
        # A history is asked for once a group: all of its states must be kept, or each is summed up again for every group.
        kept = _GROUP_CELLS_KEPT // (self._coin_count * COHORT_COUNT)
        self._cohorts = Cache(kept)
        self._buckets = Cache(kept)
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
        return self._buckets.get((index, recency), lambda: self._sum(index, recency, BUCKET_COUNT, lambda s: s.bucket - 1))

    def market_cohorts(self, index: int, recency: str = "all") -> Totals:
        """Give sums by cohort over all coins; lots of different coins do not add up and are meaningless here."""

        def make() -> Totals:
            return Totals(*(column.sum(axis=0) for column in vars(self.cohorts(index, recency)).values()))

        return self._market.get((index, recency), make)

    def traders(self, index: int, recency: str = "all") -> Traders:
        """Give the wallets of each cohort."""

        def make() -> Traders:
            snapshot = self._book.snapshot(index)
            return count_traders(snapshot, None if recency == "all" else opened_within(snapshot, recency))

        return self._market.get(("traders", index, recency), make)

    def active_equity(self, index: int) -> float:
        """Give the perp equity (USD) of all wallets with an open position."""
        equity = self.traders(index).active_equity
        return float(sum(equity[cohort.id - 1] for cohort in SIZE_COHORTS))

    def market(self, index: int) -> Total:
        """Give sums over the whole market; lots are meaningless here."""
        return Total(*(column.sum().item() for column in vars(self.coins(index)).values()))

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
