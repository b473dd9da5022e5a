"""The positions of the market at any state: who holds what, at what price, how near to liquidation.

A position is one life of a slot. A slot belongs to one coin and one wallet for ever and opens a new position, with new
figures, every time its old one has closed; so the market of any state is a pure function of the state's index. Sums
over positions belong to `aggregates`, earlier and closed positions to `lives`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from sandbox.market.cohorts import bucket_of
from sandbox.market.coins import CoinTable
from sandbox.market.drift import Listings
from sandbox.market.hashing import Array, Cache, hash64, integers, log_uniform, smooth_noise, unit
from sandbox.market.states import StateTimes
from sandbox.market.wallets import WalletFigures, Wallets
from sandbox.times import DAY_MS, HOUR_MS, SECOND_MS

NEAR_LIQUIDATION_PCT = 75.0
MICRO = 1_000_000
RETAIL, HOUSE_LONG, HOUSE_SHORT = 0, 1, 2
_MIN_LIFE_STATES = 96
_MAX_LIFE_STATES = 20_000
_CLOSED_SHARE = 0.04
_HOUSE_LIFE_STATES = 10_000_000
_SNAPSHOTS_KEPT = 4


def slots_per_coin(count: int, coins: CoinTable) -> Array:
    """Give the slots of each coin that keep about `count` positions open in all."""
    return coins.share_out(max(len(coins.names), int(count * (1 + _CLOSED_SHARE))))


@dataclass(frozen=True)
class Lives:
    """What stays the same during the life of a position; one entry a slot. Prices and money in USD."""

    is_long: Array
    lots: Array
    entry: Array
    leverage: Array
    is_cross: Array
    liquidation_room: Array
    can_liquidate: Array
    opened_ms: Array
    funding_rate: Array


@dataclass(frozen=True)
class Snapshot:
    """All open positions of one state, sorted by coin; one entry a position.

    `value_micro` is value in millionths of a dollar, exact; `size` in coin units; other money and prices in USD;
    `opened_ms` epoch milliseconds. `coin_start[c]:coin_start[c + 1]` are the positions of coin `c`. `mark` and
    `mark_ticks` have one entry a coin, `wallets` and `open_count` one a wallet.
    """

    index: int
    time_ms: int
    mark_ticks: Array
    mark: Array
    coin_start: Array
    slot: Array
    life: Array
    coin: Array
    wallet: Array
    is_long: Array
    lots: Array
    size: Array
    value_micro: Array
    entry: Array
    leverage: Array
    is_cross: Array
    liquidation: Array
    progress: Array
    unrealized: Array
    funding: Array
    opened_ms: Array
    bucket: Array
    wallets: WalletFigures
    open_count: Array

    @property
    def near(self) -> Array:
        """Tell which positions are close to liquidation."""
        return self.progress >= NEAR_LIQUIDATION_PCT

    def rows_of(self, code: int) -> slice:
        """Give the place of one coin's positions."""
        return slice(int(self.coin_start[code]), int(self.coin_start[code + 1]))


class PositionBook:
    """Makes the snapshot of any state; safe to use from several threads."""

    def __init__(self, count: int, seed: int, coins: CoinTable, wallets: Wallets, states: StateTimes, listings: Listings) -> None:
        """Lay out the slots so that about `count` positions are open at any time."""
        self.seed, self.coins, self.wallets, self.states, self.listings = seed, coins, wallets, states, listings
        self._lay_out(slots_per_coin(count, coins))
        self._lock = threading.Lock()
        self._snapshots = Cache(_SNAPSHOTS_KEPT)
        self._life = np.full(len(self.slot), np.iinfo(np.int64).min)
        self._kept: Lives | None = None

    def _lay_out(self, per_coin: Array) -> None:
        counts = per_coin + 2
        total = int(counts.sum())
        self.coin = np.repeat(np.arange(len(counts)), counts)
        ends = np.cumsum(counts)
        rank = np.arange(total) - np.repeat(ends - counts, counts)
        self.role = np.zeros(total, dtype=np.int64)
        self.role[ends - 2], self.role[ends - 1] = HOUSE_LONG, HOUSE_SHORT
        self.rank = rank
        self.slot = np.arange(total)
        # Within a coin the ranks are consecutive, so no wallet holds the same coin twice.
        place = (integers(self.wallets.count, self.seed, 31, self.coin) + rank) % self.wallets.count
        house = np.where(self.role == HOUSE_LONG, self.wallets.house_long, self.wallets.house_short)
        self.wallet = np.where(self.role == RETAIL, place, house)
        life = log_uniform(_MIN_LIFE_STATES, _MAX_LIFE_STATES, self.seed, 32, self.slot).astype(np.int64)
        self.life_states = np.where(self.role == RETAIL, life, _HOUSE_LIFE_STATES)
        self.phase = np.where(self.role == RETAIL, integers(10**9, self.seed, 33, self.slot) % life, 0)
        pause = np.maximum(1, (life * _CLOSED_SHARE * 2 * unit(self.seed, 34, self.slot)).astype(np.int64))
        self.open_states = np.where(self.role == RETAIL, life - pause, _HOUSE_LIFE_STATES)
        self._resize_states = log_uniform(60, 3_000, self.seed, 35, self.slot).astype(np.int64)

    def life_at(self, index: int) -> tuple[Array, Array]:
        """Give each slot's life at a state, and whether its position is open."""
        life, age = np.divmod(index + self.phase, self.life_states)
        listed = (self.listings.from_state <= index) & (index < self.listings.until_state)
        return life, (age < self.open_states) & listed[self.coin]

    def opened_states(self, slots: Array, life: Array) -> Array:
        """Give the index of the first state that shows the position: of a coin's first ones that of its listing."""
        return np.maximum(self._begun(slots, life), self.listings.from_state[self.coin[slots]])

    def closed_states(self, slots: Array, life: Array) -> Array:
        """Give the index of the first state that does not show the position any more."""
        return np.minimum(self._begun(slots, life) + self.open_states[slots], self.listings.until_state[self.coin[slots]])

    def exists(self, slots: Array, life: Array) -> Array:
        """Tell which positions some state shows: not those wholly before a coin's listing or after its delisting."""
        return self.opened_states(slots, life) < self.closed_states(slots, life)

    def _begun(self, slots: Array, life: Array) -> Array:
        return life * self.life_states[slots] - self.phase[slots]

    def opened_ms(self, slots: Array, life: Array) -> Array:
        """Give the opening time, whole seconds, after the state before the first one that shows the position."""
        first = self.states.times(self.opened_states(slots, life))
        opened = (first - integers(800 * SECOND_MS, self.seed, 36, slots, life)) // SECOND_MS * SECOND_MS
        return np.maximum(opened, self.listings.listed_at_ms[self.coin[slots]])

    def make_lives(self, slots: Array, life: Array) -> Lives:
        """Draw the lasting figures of positions."""
        seed, coin, role = self.seed, self.coin[slots], self.role[slots]
        opened = self.opened_ms(slots, life)
        entry = np.round(self.coins.price(coin, opened) * (1 + 0.002 * (unit(seed, 37, slots, life) - 0.5)), 6)
        allowed = self.coins.max_leverage[coin]
        leverage = np.maximum(1, np.minimum(allowed, np.array([2, 3, 5, 10, 20, 40])[integers(6, seed, 38, slots, life)]))
        notional = self.wallets.base_equity[self.wallet[slots]] * leverage * log_uniform(0.002, 0.2, seed, 39, slots, life)
        long_share = 0.45 + 0.25 * unit(seed, 40, coin)
        is_long = np.where(role == RETAIL, unit(seed, 41, slots, life) < long_share, role == HOUSE_LONG)
        # Shorts are fewer and larger, so that the house has little left to balance.
        notional = np.where(is_long, notional, notional * long_share / (1 - long_share))
        lots = np.maximum(1, np.rint(notional / np.maximum(entry, 1e-6) / self.coins.lot[coin])).astype(np.int64)
        is_cross = unit(seed, 42, slots, life) < 0.75
        room = np.where(is_cross, log_uniform(0.05, 0.95, seed, 43, slots, life), 0.9 / leverage)
        reachable = ~(is_long & is_cross & (unit(seed, 44, slots, life) < 0.12)) & (role != HOUSE_LONG)
        rate = (unit(seed, 45, slots, life) - 0.35) * 2e-6
        return Lives(is_long, lots, entry, leverage, is_cross, room, reachable, opened, rate)

    def snapshot(self, index: int) -> Snapshot:
        """Give all open positions of a state."""
        return self._snapshots.get(index, lambda: self._make(index))

    def _lives_at(self, life: Array, is_open: Array) -> Lives:
        # Neighbouring states share nearly all positions, so only the changed ones are drawn again.
        with self._lock:
            if self._kept is None:
                self._kept = self.make_lives(self.slot, life)
            else:
                changed = np.flatnonzero(life != self._life)
                fresh = self.make_lives(changed, life[changed])
                for name, column in vars(self._kept).items():
                    column[changed] = getattr(fresh, name)
            self._life = life
            return Lives(*(column[is_open] for column in vars(self._kept).values()))

    def _make(self, index: int) -> Snapshot:
        time_ms = self.states.time(index)
        life, is_open = self.life_at(index)
        lives = self._lives_at(life, is_open)
        slot, life = self.slot[is_open], life[is_open]
        coin, role = self.coin[slot], self.role[slot]
        starts = np.searchsorted(coin, np.arange(len(self.coins.names) + 1))
        lots = self._balance(self._resize(lives.lots, slot, life, index), lives.is_long, role, coin)
        ticks = self.coins.mark_ticks(time_ms)
        mark = ticks / 10.0 ** self.coins.price_decimals()
        price = mark[coin]
        size = np.round(lots * self.coins.lot[coin], 6)
        entry = np.where(role == RETAIL, lives.entry, np.round(price * self._house_drift(coin, time_ms), 6))
        liquidation = self._liquidation(lives, entry, price, slot, life, time_ms)
        move = np.where(lives.is_long, entry - price, price - entry)
        value_micro = lots * ticks[coin]
        hours = (time_ms - lives.opened_ms) / HOUR_MS
        wallet = self.wallet[slot]
        return Snapshot(
            index=index,
            time_ms=time_ms,
            mark_ticks=ticks,
            mark=mark,
            coin_start=starts,
            slot=slot,
            life=life,
            coin=coin,
            wallet=wallet,
            is_long=lives.is_long,
            lots=lots,
            size=size,
            value_micro=value_micro,
            entry=entry,
            leverage=lives.leverage,
            is_cross=lives.is_cross,
            liquidation=liquidation,
            progress=np.maximum(0.0, 100 * move / np.abs(entry - liquidation)),
            unrealized=np.round(-move * size, 6),
            funding=np.round(value_micro / MICRO * lives.funding_rate * hours**0.8, 6),
            opened_ms=lives.opened_ms,
            bucket=bucket_of(value_micro),
            wallets=self.wallets.figures(time_ms),
            open_count=np.bincount(wallet, minlength=self.wallets.count + 2),
        )

    def _resize(self, lots: Array, slot: Array, life: Array, index: int) -> Array:
        step = (index + self.phase[slot]) // self._resize_states[slot]
        draw = unit(self.seed, 46, slot, life, step)
        return np.maximum(1, np.where(draw < 0.4, np.rint(lots * (0.5 + 2.5 * draw)), lots)).astype(np.int64)

    def _balance(self, lots: Array, is_long: Array, role: Array, coin: Array) -> Array:
        """Let the two house positions of each coin take the other side, so that longs equal shorts to the lot."""
        retail = np.where(role == RETAIL, np.where(is_long, lots, -lots), 0)
        net, gross = (np.bincount(coin, lots).astype(np.int64) for lots in (retail, np.abs(retail)))
        both_sides = 1 + gross // 50
        balanced = lots.copy()
        for house, side in ((HOUSE_LONG, -net), (HOUSE_SHORT, net)):
            balanced[role == house] = (both_sides + np.maximum(side, 0))[coin[role == house]]
        return balanced

    def _house_drift(self, coin: Array, time_ms: int) -> Array:
        return 1 + 0.004 * smooth_noise(time_ms, DAY_MS, self.seed, 47, coin)

    def _liquidation(self, lives: Lives, entry: Array, price: Array, slot: Array, life: Array, time_ms: int) -> Array:
        """Give liquidation prices; 0 is none. A trader whose price is passed adds margin and stays 60 to 99 % near."""
        sign = np.where(lives.is_long, -1, 1)
        away = np.maximum(1e-6, (price - entry) * sign)
        target = 0.60 + 0.39 * unit(self.seed, 48, slot, life, time_ms // DAY_MS)
        room = entry * lives.liquidation_room
        room = np.where(away >= 0.995 * room, away / target, room)
        level = np.round(np.maximum(0.0, entry + sign * room), 6)
        level = np.where(lives.can_liquidate, level, 0.0)
        # A level that rounds onto the entry would make progress infinite.
        return np.where(level == entry, np.maximum(0.0, entry + sign * 1e-6), level)

    def ids(self, slots: Array, life: Array) -> list[str]:
        """Give position ids of 64 hex digits."""
        parts = [hash64(self.seed, 50 + part, slots, life).tolist() for part in range(4)]
        return [f"{a:016x}{b:016x}{c:016x}{d:016x}" for a, b, c, d in zip(*parts, strict=True)]

    def file_ids(self, slots: Array, life: Array) -> list[str]:
        """Give ids as the open-positions file prints them: in each coin one is a digit short, one is the address."""
        ids = self.ids(slots, life)
        odd = np.flatnonzero((self.rank[slots] < 2) & (self.role[slots] == RETAIL))
        for place in odd.tolist():
            slot = slots[place : place + 1]
            ids[place] = ids[place][:-1] if self.rank[slot[0]] == 0 else self.wallets.addresses(self.wallet[slot])[0]
        return ids
