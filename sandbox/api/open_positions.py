"""The open-positions file of a coin and its history (16 and 28 of the contract)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from sandbox.api.delivery import link, redirect
from sandbox.api.params import coin_code, cursor, make_cursor, window
from sandbox.api.planting import market_of, planted_coin
from sandbox.market.hashing import Array, hash64
from sandbox.market.market import Market
from sandbox.market.positions import Snapshot
from sandbox.times import SECOND_MS, iso, iso_column, to_ms
from sandbox.wire import CSV_TYPE, Exchange, Reply, json_reply, to_json

HISTORY_FLOOR_MS = to_ms(datetime(2026, 3, 25, tzinfo=UTC))
HEADER = (
    "id,address,coin,side,dex,size,value,entryPrice,unrealizedPnl,funding,liquidationPrice,liquidationProgress,"
    "crossLeverage,isolatedLeverage,openTime,profile_totalEquity,profile_perpEquity,profile_countOpenPositions,"
    "profile_pnl,profile_balance,profile_perpPnlSegmentId,profile_sizeSegmentId"
)
_ROW = ",".join(["%s"] * (HEADER.count(",") + 1))
_COMPLETED_AFTER_MS = 20 * SECOND_MS
_HISTORY_LINK_LIFE = 4.0


def open_positions(exchange: Exchange) -> Reply:
    """Answer 16: a redirect to the CSV. About 2 % of its rows, at least one, are another coin's."""
    code, state = coin_code(exchange), exchange.state
    share = exchange.options.get("foreign_share", exchange.core.settings.foreign_share)
    market, key = market_of(exchange, "open_positions"), (code, state, share, planted_coin(exchange, "open_positions"))
    return redirect(exchange, key, lambda: render(market, state, code, share), *_form(exchange))


def history(exchange: Exchange) -> Reply:
    """Answer 28: one snapshot a page, newest first, from 2026-03-25. Choices: `start` defaults to that floor, past the
    last page `snapshot` and `nextCursor` are null, `rowCount` counts the rows of the file."""
    code = coin_code(exchange, or_delisted=True)
    after = cursor(exchange)
    states = exchange.core.market.states
    first_ms, end = exchange.core.market.listings.clip(code, *window(exchange, HISTORY_FLOOR_MS))
    state = states.index_at(end if after is None else after - 1)
    first_ms = max(first_ms, HISTORY_FLOOR_MS)
    name = exchange.args["coin"]
    if states.time(state) < first_ms:
        return json_reply({"coin": name, "snapshot": None, "nextCursor": None})
    more = states.time(state - 1) >= first_ms
    following = make_cursor(exchange, states.time(state) if more else None)
    return json_reply({"coin": name, "snapshot": _describe(exchange, code, state), "nextCursor": following})


def _describe(exchange: Exchange, code: int, state: int) -> dict[str, object]:
    market, share = exchange.core.market, exchange.core.settings.foreign_share
    created = market.states.time(state)
    counted = market_of(exchange, "open_positions_history").book.snapshot(state)
    url = link(
        exchange,
        (code, state, share),
        lambda: render(market, state, code, share),
        *_form(exchange),
        _HISTORY_LINK_LIFE,
    )
    return {
        "snapshotId": f"{int(hash64(market.settings.seed, 91, code, state)):016x}",
        "coin": exchange.args["coin"],
        "stateVersion": state,
        "rowCount": len(_places(market, counted, code, share)),
        "status": "completed",
        "format": market.settings.shapes.open_positions,
        "createdAt": iso(created),
        "completedAt": iso(created + _COMPLETED_AFTER_MS),
        "downloadUrl": url,
    }


def _form(exchange: Exchange) -> tuple[str, str]:
    """Give content type and suffix of the file."""
    is_json = exchange.core.settings.shapes.open_positions == "json"
    return ("application/json", ".json") if is_json else (CSV_TYPE, ".csv")


def render(market: Market, state: int, code: int, foreign_share: float) -> bytes:
    """Write the file of a coin at a state, largest value first, with the foreign rows spread among the others."""
    snapshot = market.book.snapshot(state)
    rows = _rows(market, snapshot, _places(market, snapshot, code, foreign_share))
    if market.settings.shapes.open_positions == "json":
        return to_json([dict(zip(HEADER.split(","), row, strict=True)) for row in rows])
    cells = {name: _cell(name) for code, coin in enumerate(market.coins.names) for name in (coin, market.coins.dex(code))}
    lines = (_ROW % (*row[:2], cells[str(row[2])], row[3], cells[str(row[4])], *row[5:]) for row in rows)
    return "\n".join([HEADER, *lines, ""]).encode()


def _cell(text: str) -> str:
    """Quote text that would be more than one cell, or another one."""
    return '"' + text.replace('"', '""') + '"' if set(text) & set('",\r\n') else text


def _places(market: Market, snapshot: Snapshot, code: int, foreign_share: float) -> Array:
    if market.coins.dex(code) in market.settings.silent_dexes:
        return np.zeros(0, dtype=np.int64)
    rows = snapshot.rows_of(code)
    own = rows.start + np.argsort(-snapshot.value_micro[rows], kind="stable")
    count = len(market.coins.names)
    others = (snapshot.rows_of((code + step) % count) for step in range(1, count))
    other = next((rows for rows in others if rows.stop > rows.start), slice(0, 0))
    wanted = max(1, round(foreign_share * len(own))) if foreign_share > 0 and count > 1 else 0
    foreign = np.arange(other.start, other.stop)[:wanted]
    spread = np.linspace(1, len(own), num=len(foreign), dtype=np.int64)
    return np.insert(own, spread, foreign)


def _rows(market: Market, snapshot: Snapshot, places: Array) -> Iterator[tuple[object, ...]]:
    wallet, coin = snapshot.wallet[places], snapshot.coin[places]
    leverage, is_cross = snapshot.leverage[places], snapshot.is_cross[places]
    figures, names = snapshot.wallets, np.array(market.coins.names, dtype=object)
    dexes = np.array([market.coins.dex(code) for code in range(len(names))], dtype=object)
    equity = figures.equity[wallet].tolist()
    return zip(
        market.book.file_ids(snapshot.slot[places], snapshot.life[places]),
        market.wallets.addresses(wallet),
        names[coin].tolist(),
        np.where(snapshot.is_long[places], "long", "short").tolist(),
        dexes[coin].tolist(),
        snapshot.size[places].tolist(),
        (snapshot.value_micro[places] / 1e6).tolist(),
        snapshot.entry[places].tolist(),
        snapshot.unrealized[places].tolist(),
        snapshot.funding[places].tolist(),
        snapshot.liquidation[places].tolist(),
        snapshot.progress[places].tolist(),
        np.where(is_cross, leverage, 0).tolist(),
        np.where(is_cross, 0, leverage).tolist(),
        iso_column(snapshot.opened_ms[places]),
        equity,
        equity,
        snapshot.open_count[wallet].tolist(),
        figures.pnl[wallet].tolist(),
        equity,
        figures.pnl_cohort[wallet].tolist(),
        figures.size_cohort[wallet].tolist(),
        strict=True,
    )
