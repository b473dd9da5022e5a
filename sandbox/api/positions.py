"""The consolidated positions, open and closed, oldest opening first (15 of the contract)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from sandbox.api.params import cursor, cut_page, limit, make_cursor, window
from sandbox.market.cohorts import COHORTS
from sandbox.market.hashing import Array
from sandbox.market.lives import CREATED_AFTER_MS, begun_between, describe, premiums
from sandbox.market.market import Market
from sandbox.times import DAY_MS, iso, to_ms
from sandbox.wire import Exchange, Reply, bad_request, json_reply, number

FLOOR_MS = to_ms(datetime(2025, 4, 4, tzinfo=UTC))


def positions(exchange: Exchange) -> Reply:
    """Answer 15. `start` is required and, like `end`, filters the opening time, from 2025-04-04; filters are `coin`,
    `address` (may repeat), `open` and `segmentId` (the wallet's present cohort)."""
    start, end = window(exchange)
    size, after = limit(exchange), cursor(exchange)
    market = exchange.core.market
    first = max(start, FLOOR_MS) if after is None else max(start, FLOOR_MS, after - CREATED_AFTER_MS + 1)
    slots, lives = _collect(exchange, _slots(exchange), first, end, size + 1)
    created = market.book.opened_ms(slots, lives) + CREATED_AFTER_MS
    place, last_ms = cut_page(created, after, size)
    rows = _rows(market, slots[place], lives[place], exchange.now_ms)
    return json_reply({"positions": rows, "nextCursor": make_cursor(exchange, last_ms)})


def _slots(exchange: Exchange) -> Array:
    """Give the slots that the filters by coin, address and cohort leave."""
    market, book = exchange.core.market, exchange.core.market.book
    chosen = np.ones(len(book.slot), dtype=bool)
    name, segment = exchange.param("coin"), exchange.param("segmentId")
    addresses = [value for key, value in exchange.pairs if key == "address" and value]
    if name:
        chosen &= book.coin == market.codes.get(name, -1)
    if addresses:
        found = [market.wallets.find(address.lower()) for address in addresses]
        chosen &= np.isin(book.wallet, [wallet for wallet in found if wallet is not None])
    if segment:
        if not segment.isdigit() or int(segment) not in COHORTS:
            raise bad_request("segmentId must be an integer between 1 and 16")
        figures = market.wallets.figures(exchange.state_ms)
        axis = figures.size_cohort if COHORTS[int(segment)].axis == "size" else figures.pnl_cohort
        chosen &= axis[book.wallet] == int(segment)
    return book.slot[chosen]


def _collect(exchange: Exchange, slots: Array, first: int, end: int, wanted: int) -> tuple[Array, Array]:
    """Gather enough positions from `first` on, in growing windows, so that a page costs what it holds."""
    book, now_ms = exchange.core.market.book, exchange.now_ms
    if exchange.param("open") == "true":
        return _open_now(exchange, slots, first, end)
    found_slots, found_lives, count, step = [slots[:0]], [slots[:0]], 0, DAY_MS // 4
    while first <= end and count < wanted:
        part, lives = begun_between(book, slots, first, min(end, first + step - 1), now_ms)
        kept = _kept_by_open(exchange, part, lives)
        found_slots.append(part[kept])
        found_lives.append(lives[kept])
        count += int(kept.sum())
        first, step = first + step, step * 2 if len(part) < 100_000 else step
    return np.concatenate(found_slots), np.concatenate(found_lives)


def _open_now(exchange: Exchange, slots: Array, first: int, end: int) -> tuple[Array, Array]:
    book = exchange.core.market.book
    life, is_open = book.life_at(exchange.state)
    slots = slots[is_open[slots]]
    opened = book.opened_ms(slots, life[slots])
    slots = slots[(opened >= first) & (opened <= end)]
    slots = slots[np.argsort(book.opened_ms(slots, life[slots]), kind="stable")]
    return slots, life[slots]


def _kept_by_open(exchange: Exchange, slots: Array, lives: Array) -> Array:
    """Apply `open`: absent keeps all, any word but `true` keeps the closed ones, as the provider does."""
    if exchange.param("open") is None:
        return np.ones(len(slots), dtype=bool)
    book = exchange.core.market.book
    return book.closed_states(slots, lives) <= exchange.state


def _rows(market: Market, slots: Array, lives: Array, now_ms: int) -> list[dict[str, Any]]:
    if not len(slots):
        return []
    book, state = market.book, market.states.index_at(now_ms)
    state_ms = market.states.time(state)
    records = describe(book, slots, lives, now_ms)
    wallet = book.wallet[slots]
    figures = market.wallets.figures(state_ms)
    move = np.where(records.is_long, records.mark - records.entry, records.entry - records.mark)
    until = np.where(records.closed_ms > 0, records.closed_ms, state_ms)
    table = {
        "id": book.ids(slots, lives),
        "address": market.wallets.addresses(wallet),
        "coin": book.coin[slots].tolist(),
        "is_long": records.is_long.tolist(),
        "is_cross": records.is_cross.tolist(),
        "leverage": records.leverage.tolist(),
        "size": records.size.tolist(),
        "entry": records.entry.tolist(),
        "mark": records.mark.tolist(),
        "premium": premiums(book, slots, lives).tolist(),
        "liquidation": records.liquidation.tolist(),
        "pnl": np.round(move * records.size, 6).tolist(),
        "funding": records.funding(until).tolist(),
        "opened": records.opened_ms.tolist(),
        "closed": records.closed_ms.tolist(),
        "updated": until.tolist(),
        "cohorts": np.stack([figures.size_cohort[wallet], figures.pnl_cohort[wallet]], axis=1).tolist(),
    }
    return [_row(market, dict(zip(table, values, strict=True))) for values in zip(*table.values(), strict=True)]


def _row(market: Market, one: dict[str, Any]) -> dict[str, Any]:
    code, coins = one["coin"], market.coins
    mark, most = one["mark"], int(coins.max_leverage[code])
    return {
        "address": one["address"],
        "size": number(one["size"]),
        "entryPrice": number(one["entry"]),
        "side": "long" if one["is_long"] else "short",
        "crossLeverage": one["leverage"] if one["is_cross"] else 0,
        "maxLeverage": most,
        "coin": coins.names[code],
        "szDecimals": int(coins.sz_decimals[code]),
        "markPrice": number(mark),
        "midPrice": number(round(mark * (1 + one["premium"]), 6)),
        "premiumPrice": number(one["premium"]),
        "assetMaxLeverage": most,
        "positionValue": number(round(one["size"] * mark, 6)),
        "liquidationPrice": number(one["liquidation"]),
        "unrealizedPnl": number(one["pnl"]),
        "funding": number(one["funding"]),
        "openTime": iso(one["opened"]),
        "closeTime": iso(one["closed"]) if one["closed"] else None,
        "updatedAt": iso(one["updated"]),
        "createdAt": iso(one["opened"] + CREATED_AFTER_MS),
        "isolatedLeverage": 0 if one["is_cross"] else one["leverage"],
        "id": one["id"],
        "dex": coins.dex(code),
        "profile": {"address": one["address"], "segments": one["cohorts"]},
    }
