"""The resting orders of the market on any five-minute mark.

An order is one life of a slot, as a position is: the snapshot of any mark can be made alone, and neighbouring
snapshots share nearly all their orders. How they are paged, packed and filtered belongs to `sandbox.api`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from sandbox.market.coins import CoinTable
from sandbox.market.drift import Listings
from sandbox.market.hashing import Array, Cache, hash64, integers, log_uniform, unit
from sandbox.market.wallets import Wallets
from sandbox.times import MINUTE_MS, SECOND_MS, iso, iso_column, to_ms

MARK_MS = 5 * MINUTE_MS
PUBLISH_DELAY_MS = 20 * SECOND_MS
TRIGGER_TYPES = ("Stop Limit", "Stop Market", "Take Profit Limit", "Take Profit Market")
_MIN_LIFE_MARKS = 12
_MAX_LIFE_MARKS = 330_000
_ETERNAL_MARKS = 100_000_000
_FIRST_PLACED_MS = to_ms(datetime(2023, 2, 1, tzinfo=UTC))
_OLD_YEAR_MS = to_ms(datetime(2023, 7, 18, tzinfo=UTC))
_HEIGHT_AT = (to_ms(datetime(2026, 3, 13, 9, 40, tzinfo=UTC)) // MARK_MS, 922_290_820)
_BLOCKS_PER_MARK = 4_200
_MARKETS_KEPT = 3
_COINS_KEPT = 700
_TRIGGER_SHARE = 0.15
_TPSL_SHARE = 0.05
_CHILD_SHARE = 0.02
_PARENT_KIND = _TRIGGER_SHARE + _CHILD_SHARE / 2
_CHILD_KIND = (_TPSL_SHARE + _TRIGGER_SHARE) / 2
_ORDERS_BEFORE_A_PAIR = 1


def published_mark(moment_ms: int) -> int:
    """Give the latest mark whose snapshot is out at a moment: a snapshot is published 20 s after its mark."""
    return (moment_ms - PUBLISH_DELAY_MS) // MARK_MS


@dataclass(frozen=True)
class OrderKeys:
    """Which orders: their slots and lives, and when they were placed (epoch milliseconds); one entry an order."""

    slot: Array
    life: Array
    placed_ms: Array

    def take(self, chosen: Array | slice) -> OrderKeys:
        """Give some of them."""
        return OrderKeys(self.slot[chosen], self.life[chosen], self.placed_ms[chosen])


@dataclass(frozen=True)
class OrderRows:
    """The orders of one snapshot, one entry an order, oldest placed first; prices in USD, sizes in coin units.

    `repeated` are linked orders that stand in the snapshot on their own too, `repeats` the place in it of each order's
    linked one, -1 for none; `has_child` also marks orders whose linked one stands nowhere else.
    """

    mark: int
    coin: list[str]
    oid: list[int]
    address: list[str]
    is_buy: Array
    limit_px: list[float]
    sz: list[float]
    orig_sz: list[float]
    placed_ms: Array
    trigger_px: list[float]
    order_type: list[str]
    is_position_tpsl: list[bool]
    reduce_only: list[bool]
    tif: list[str]
    cloid: list[str]
    builder: list[str]
    builder_fee: list[int]
    has_child: list[bool]
    repeats: list[int]
    repeated: OrderRows | None

    @property
    def height(self) -> int:
        """Give the block height of the snapshot."""
        return _HEIGHT_AT[1] + (self.mark - _HEIGHT_AT[0]) * _BLOCKS_PER_MARK

    @property
    def snapshot_ts(self) -> str:
        """Give the snapshot's time, on its mark."""
        return iso(self.mark * MARK_MS)

    def columns(self) -> dict[str, list[Any]]:
        """Give the fields of the contract by name, in its order, without `children` and `snapshotTs`."""
        size = len(self.oid)
        is_trigger = [price != 0 for price in self.trigger_px]
        return {
            "height": [self.height] * size,
            "address": self.address,
            "oid": self.oid,
            "coin": self.coin,
            "side": ["B" if buy else "A" for buy in self.is_buy.tolist()],
            "limitPx": self.limit_px,
            "sz": self.sz,
            "timestamp": iso_column(self.placed_ms),
            "triggerCondition": [_condition(*order) for order in zip(self.order_type, self.trigger_px, strict=True)],
            "isTrigger": is_trigger,
            "triggerPx": self.trigger_px,
            "isPositionTpsl": self.is_position_tpsl,
            "reduceOnly": self.reduce_only,
            "orderType": self.order_type,
            "origSz": self.orig_sz,
            "tif": self.tif,
            "cloid": self.cloid,
            "status": ["open"] * size,
            "builder": self.builder,
            "builderFee": self.builder_fee,
            "untriggered": is_trigger,
        }

    def frame(self) -> pd.DataFrame:
        """Give all rows as a table, without `children`."""
        return pd.DataFrame({**self.columns(), "snapshotTs": self.snapshot_ts})


def _condition(order_type: str, trigger_px: float) -> str:
    if trigger_px == 0:
        return "N/A"
    return f"Price {'below' if order_type.startswith('Stop') else 'above'} {trigger_px:g}"


class OrderBook:
    """Makes the order snapshot of any mark; a mark is a count of five minutes since 1970."""

    def __init__(self, count: int, seed: int, coins: CoinTable, wallets: Wallets, listings: Listings) -> None:
        """Lay out `count` slots over the coins."""
        self._seed, self._coins, self._wallets, self._listings = seed, coins, wallets, listings
        counts = coins.share_out(count)
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        slot = np.arange(count)
        self._coin = np.repeat(np.arange(len(counts)), counts)
        life = log_uniform(_MIN_LIFE_MARKS, _MAX_LIFE_MARKS, seed, 61, slot).astype(np.int64)
        self._phase = integers(10**9, seed, 62, slot) % life
        # The first order of each coin has rested since 2023 and never ends.
        life[self._starts[:-1]] = _ETERNAL_MARKS
        self._phase[self._starts[:-1]] = 0
        self._life_marks = life
        self._link_pairs(counts)
        self._fill_marks = log_uniform(200, 8_000, seed, 63, slot).astype(np.int64)
        self._markets = Cache(_MARKETS_KEPT)
        self._by_coin = Cache(_COINS_KEPT)

    def _link_pairs(self, counts: Array) -> None:
        """Let the third order of each coin be linked to the second: the same owner, the same life, the other side."""
        parents = self._starts[:-1][counts >= _ORDERS_BEFORE_A_PAIR + 2] + _ORDERS_BEFORE_A_PAIR
        self._head = np.arange(len(self._coin))
        self._head[parents + 1] = parents
        self._is_parent, self._is_child = np.zeros((2, len(self._coin)), dtype=bool)
        self._is_parent[parents] = self._is_child[parents + 1] = True
        self._life_marks[parents + 1], self._phase[parents + 1] = self._life_marks[parents], self._phase[parents]

    def keys(self, mark: int, code: int | None = None) -> OrderKeys:
        """Give the keys of a mark's orders, of one coin or of all, oldest placed first."""
        kept = self._markets if code is None else self._by_coin
        return kept.get((mark, code), lambda: self._sort(mark, code))

    def rows(self, mark: int, code: int | None = None) -> OrderRows:
        """Give the orders of a mark, of one coin or of all, oldest placed first."""
        return self.draw(mark, self.keys(mark, code))

    def wallets_of(self, keys: OrderKeys) -> Array:
        """Give the owners of orders."""
        return integers(self._wallets.count, self._seed, 72, self._head[keys.slot], keys.life)

    def oids_of(self, keys: OrderKeys) -> Array:
        """Give order ids: unique, and rising with the time of placement, as real ones do."""
        return (keys.placed_ms - _FIRST_PLACED_MS) // SECOND_MS * len(self._coin) + keys.slot

    def types_of(self, keys: OrderKeys) -> Array:
        """Give the order types as text."""
        kind = integers(len(TRIGGER_TYPES), self._seed, 68, keys.slot, keys.life)
        is_trigger = self._kinds_of(keys) < _TRIGGER_SHARE
        return np.where(is_trigger, np.array(TRIGGER_TYPES, dtype=object)[kind], "Limit")

    def _kinds_of(self, keys: OrderKeys) -> Array:
        kind = unit(self._seed, 67, keys.slot, keys.life)
        kind = np.where(self._is_parent[keys.slot], _PARENT_KIND, kind)
        return np.where(self._is_child[keys.slot], _CHILD_KIND, kind)

    def _children_of(self, keys: OrderKeys) -> OrderKeys:
        chosen = self._is_parent[keys.slot]
        slot, life = keys.slot[chosen] + 1, keys.life[chosen]
        return OrderKeys(slot, life, self._placed_ms(slot, life))

    def _sort(self, mark: int, code: int | None) -> OrderKeys:
        first, last = (0, len(self._coin)) if code is None else self._starts[code : code + 2]
        slot = np.arange(first, last)
        slot = slot[self._listings.listed(mark * MARK_MS)[self._coin[slot]]]
        life = (mark + self._phase[slot]) // self._life_marks[slot]
        placed = self._placed_ms(slot, life)
        return OrderKeys(slot, life, placed).take(np.argsort(placed, kind="stable"))

    def _placed_ms(self, slot: Array, life: Array) -> Array:
        first_mark = life * self._life_marks[slot] - self._phase[slot]
        placed = first_mark * MARK_MS - integers(MARK_MS - SECOND_MS, self._seed, 64, slot, life)
        old = _OLD_YEAR_MS + integers(100 * 86_400_000, self._seed, 65, slot)
        placed = np.where(self._life_marks[slot] == _ETERNAL_MARKS, old, placed)
        return np.maximum(placed, self._listings.listed_at_ms[self._coin[slot]])

    def draw(self, mark: int, keys: OrderKeys) -> OrderRows:
        """Give all fields of some orders of a mark."""
        seed, slot, life, placed = self._seed, keys.slot, keys.life, keys.placed_ms
        coin = self._coin[slot]
        is_buy = (unit(seed, 66, self._head[slot], life) < 0.5) ^ self._is_child[slot]
        kind = self._kinds_of(keys)
        is_trigger, is_tpsl = kind < _TRIGGER_SHARE, kind < _TPSL_SHARE
        price = self._prices(keys, is_buy, is_trigger)
        sz, orig = self._sizes(mark, slot, life, placed, price)
        built = unit(seed, 75, slot, life) < 0.05
        is_parent = self._is_parent[slot]
        return OrderRows(
            mark=mark,
            coin=np.array(self._coins.names, dtype=object)[coin].tolist(),
            oid=self.oids_of(keys).tolist(),
            address=self._wallets.addresses(self.wallets_of(keys)),
            is_buy=is_buy,
            limit_px=price.tolist(),
            sz=np.where(is_tpsl, 0.0, sz).tolist(),
            orig_sz=np.where(is_tpsl | (unit(seed, 74, slot, life) < 0.5), 0.0, orig).tolist(),
            placed_ms=placed,
            trigger_px=np.where(is_trigger, price, 0.0).tolist(),
            order_type=self.types_of(keys).tolist(),
            is_position_tpsl=is_tpsl.tolist(),
            reduce_only=(is_trigger | (kind > 0.95)).tolist(),
            tif=np.array(["", "Gtc", "Alo"], dtype=object)[integers(3, seed, 76, slot, life)].tolist(),
            cloid=_cloids(seed, slot, life),
            builder=np.where(built, "0x" + "b" * 40, "").tolist(),
            builder_fee=np.where(built, 10, 0).tolist(),
            has_child=((kind > _TRIGGER_SHARE) & (kind < _TRIGGER_SHARE + _CHILD_SHARE)).tolist(),
            repeats=np.where(is_parent, np.cumsum(is_parent) - 1, -1).tolist(),
            repeated=self.draw(mark, self._children_of(keys)) if is_parent.any() else None,
        )

    def _prices(self, keys: OrderKeys, is_buy: Array, is_trigger: Array) -> Array:
        """Give prices: a limit order lies beyond all that its coin costs while it rests, else it would have been filled."""
        coin, slot, life = self._coin[keys.slot], keys.slot, keys.life
        end_ms = ((life + 1) * self._life_marks[slot] - self._phase[slot]) * MARK_MS
        low, high = self._coins.price_bounds(coin, keys.placed_ms, end_ms)
        start = np.where(is_trigger, self._coins.price(coin, keys.placed_ms), np.where(is_buy, low, high))
        away = log_uniform(0.0005, 0.5, self._seed, 69, slot, life) * np.where(is_buy, -1, 1)
        scale = 10.0 ** self._coins.price_decimals()[coin]
        ticks = start * (1 + away) * scale
        return np.maximum(1, np.where(is_buy, np.floor(ticks), np.ceil(ticks))) / scale

    def _sizes(self, mark: int, slot: Array, life: Array, placed: Array, price: Array) -> tuple[Array, Array]:
        """Give open and original sizes; an order fills by 12 % at a time, five times at most."""
        lot = self._coins.lot[self._coin[slot]]
        worth = log_uniform(20, 200_000, self._seed, 73, slot, life)
        orig = np.maximum(1, np.rint(worth / price / lot))
        fills = np.minimum(5, (mark - placed // MARK_MS) // self._fill_marks[slot])
        return np.round(np.maximum(1, np.rint(orig * (1 - 0.12 * fills))) * lot, 6), np.round(orig * lot, 6)


def _cloids(seed: int, slot: Array, life: Array) -> list[str]:
    given = (unit(seed, 77, slot, life) < 0.3).tolist()
    halves = zip(hash64(seed, 78, slot, life).tolist(), hash64(seed, 79, slot, life).tolist(), given, strict=True)
    return [f"0x{a:016x}{b:016x}" if has else "" for a, b, has in halves]
