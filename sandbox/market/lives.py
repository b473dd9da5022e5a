"""Positions over time, open and closed: every life of a slot that began in a window.

What is open at one state belongs to `positions`; how the records are paged and written belongs to `sandbox.api`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sandbox.market.hashing import Array, integers, unit
from sandbox.market.positions import PositionBook
from sandbox.times import HOUR_MS, SECOND_MS

CREATED_AFTER_MS = 4_606
"""The database writes a position this long after it opened (a choice; one example shows 4.6 s)."""


@dataclass(frozen=True)
class Records:
    """Positions that began in a window, ascending by opening time; `closed_ms` is 0 while a position is open."""

    slot: Array
    life: Array
    opened_ms: Array
    closed_ms: Array
    is_long: Array
    size: Array
    entry: Array
    leverage: Array
    is_cross: Array
    mark: Array
    liquidation: Array
    funding_rate: Array
    value: Array

    def funding(self, until_ms: Array) -> Array:
        """Give the funding (USD) gathered until each record's moment, as the open-positions file does."""
        hours = (until_ms - self.opened_ms) / HOUR_MS
        return np.round(self.value * self.funding_rate * hours**0.8, 6)


def begun_between(book: PositionBook, slots: Array, first_ms: int, last_ms: int, now_ms: int) -> tuple[Array, Array]:
    """Give slots and lives of positions opened in [first, last] and seen by the state in force now, by opening time."""
    now_state = book.states.index_at(now_ms)
    early = book.states.index_at(first_ms) - 1
    late = min(now_state, book.states.index_at(last_ms) + 1)
    if late < early:
        return slots[:0], slots[:0]
    life, phase = book.life_states[slots], book.phase[slots]
    before, until = (early + phase) // life, (late + phase) // life
    # A house position is older than every window that does not hold the epoch.
    count = np.maximum(0, until - before + 1)
    every = np.repeat(slots, count)
    step = np.arange(len(every)) - np.repeat(np.cumsum(count) - count, count)
    lives = np.repeat(before, count) + step
    opened = book.opened_ms(every, lives)
    chosen = (opened >= first_ms) & (opened <= last_ms) & (book.opened_states(every, lives) <= now_state)
    chosen &= book.exists(every, lives)
    order = np.argsort(opened[chosen], kind="stable")
    return every[chosen][order], lives[chosen][order]


def describe(book: PositionBook, slots: Array, lives: Array, now_ms: int) -> Records:
    """Give the records of positions as known now.

    Open ones have the figures of the state in force, so they equal the open-positions file. Closed ones keep their
    first size, and the mark of their closing time.
    """
    now_state = book.states.index_at(now_ms)
    closed_state = book.closed_states(slots, lives)
    is_open = closed_state > now_state
    late = integers(800 * SECOND_MS, book.seed, 51, slots, lives)
    closed = (book.states.times(np.minimum(closed_state, now_state + 1)) - late) // SECOND_MS * SECOND_MS
    delisted = book.listings.until_state[book.coin[slots]] == closed_state
    closed = np.where(delisted, book.listings.delisted_at_ms[book.coin[slots]], closed)
    closed = np.where(is_open, 0, closed)
    drawn = book.make_lives(slots, lives)
    coin = book.coin[slots]
    decimals = 10.0 ** book.coins.price_decimals()[coin]
    mark = np.rint(book.coins.price(coin, np.where(is_open, now_ms, closed)) * decimals) / decimals
    sign = np.where(drawn.is_long, -1, 1)
    level = np.where(drawn.can_liquidate, np.maximum(0, drawn.entry * (1 + sign * drawn.liquidation_room)), 0.0)
    columns = {
        "size": np.round(drawn.lots * book.coins.lot[coin], 6),
        "entry": drawn.entry,
        "mark": mark,
        "liquidation": np.round(level, 6),
    }
    _copy_open_figures(book, slots, is_open, now_state, columns)
    return Records(
        slot=slots,
        life=lives,
        opened_ms=drawn.opened_ms,
        closed_ms=closed,
        is_long=drawn.is_long,
        leverage=drawn.leverage,
        is_cross=drawn.is_cross,
        funding_rate=drawn.funding_rate,
        value=np.round(columns["size"] * columns["mark"], 6),
        **columns,
    )


def _copy_open_figures(book: PositionBook, slots: Array, is_open: Array, now_state: int, columns: dict[str, Array]) -> None:
    snapshot = book.snapshot(now_state)
    place = np.searchsorted(snapshot.slot, slots[is_open])
    sources = {
        "size": snapshot.size,
        "entry": snapshot.entry,
        "mark": snapshot.mark[snapshot.coin],
        "liquidation": snapshot.liquidation,
    }
    for name, source in sources.items():
        columns[name][is_open] = source[place]


def premiums(book: PositionBook, slots: Array, lives: Array) -> Array:
    """Give the premium of each position, a small signed fraction as the API shows."""
    return np.round((unit(book.seed, 52, slots, lives) - 0.5) * 0.002, 6)
