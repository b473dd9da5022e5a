"""The order snapshots: paged, as a coin's file, as the archive's file, and the time of the latest (9 to 13)."""

from __future__ import annotations

import gzip
import re
from datetime import UTC, datetime
from typing import Any

import lz4.frame
import numpy as np

from sandbox.api.delivery import download, link
from sandbox.api.params import coin_code, cursor, cut_page, limit, make_cursor, moment
from sandbox.api.planting import planted_coin
from sandbox.market.hashing import Array
from sandbox.market.market import Market
from sandbox.market.orders import MARK_MS, OrderKeys, OrderRows, published_mark
from sandbox.times import DAY_MS, iso, parse_iso, to_ms
from sandbox.wire import Exchange, Reply, bad_request, not_found, number, to_json

PAGED_WINDOW_MS = 30 * DAY_MS
ARCHIVE_FROM_MS = to_ms(datetime(2026, 1, 19, 11, 5, tzinfo=UTC))
ARCHIVE_UNTIL_MS = to_ms(datetime(2026, 3, 13, tzinfo=UTC))
_DEFAULT_PAGE = 100
_COIN_LINK_LIFE = 8.0
_ARCHIVE_LINK_LIFE = 4.0
_CHILD_OID_OFFSET = 10**15
_FIELDS = (
    "height",
    "address",
    "oid",
    "coin",
    "side",
    "limitPx",
    "sz",
    "timestamp",
    "triggerCondition",
    "isTrigger",
    "triggerPx",
    "children",
    "isPositionTpsl",
    "reduceOnly",
    "orderType",
    "origSz",
    "tif",
    "cloid",
    "status",
    "builder",
    "builderFee",
    "untriggered",
)
_TEXTS = {"address", "coin", "side", "timestamp", "triggerCondition", "orderType", "tif", "cloid", "status", "builder"}


def latest(exchange: Exchange) -> Reply:
    """Answer 9: a page of the latest snapshot."""
    return _page(exchange, published_mark(exchange.now_ms))


def at_time(exchange: Exchange) -> Reply:
    """Answer 10: a page of one snapshot; an empty list where it is older than 30 days or not out yet."""
    mark = _mark(exchange)
    too_old = mark * MARK_MS < exchange.now_ms - PAGED_WINDOW_MS
    if too_old or mark > published_mark(exchange.now_ms):
        return Reply(body=b'{"orders":[],"nextCursor":null}')
    return _page(exchange, mark)


def archive_file(exchange: Exchange) -> Reply:
    """Answer 11: a link to the LZ4 file of all orders; 404 outside 2026-01-19T11:05 to 2026-03-13. Its rows carry
    `snapshotTime` in epoch milliseconds in place of `snapshotTs`."""
    mark = _mark(exchange)
    if not ARCHIVE_FROM_MS <= mark * MARK_MS < ARCHIVE_UNTIL_MS or mark > published_mark(exchange.now_ms):
        raise not_found("Snapshot file is not available at the moment. Please try again later.")
    market = exchange.core.market

    def render() -> bytes:
        return lz4.frame.compress(_array(market.orders.rows(mark), f'"snapshotTime":{mark * MARK_MS}'))

    return download(link(exchange, mark, render, "application/octet-stream", ".json.lz4", _ARCHIVE_LINK_LIFE))


def coin_file(exchange: Exchange) -> Reply:
    """Answer 12: a link to the gzip file of one coin's orders in the latest snapshot."""
    code, mark = coin_code(exchange), published_mark(exchange.now_ms)
    market = exchange.core.market
    silent = market.coins.dex(code) in market.settings.silent_dexes

    planted = _planted_count(exchange)

    def render() -> bytes:
        keys = market.orders.keys(mark, code)
        body = b"[]" if silent else _array(market.orders.draw(mark, _spoil(keys, planted)))
        return gzip.compress(body, compresslevel=1, mtime=0)

    return download(link(exchange, (code, mark, planted), render, "application/gzip", ".json.gz", _COIN_LINK_LIFE))


def _planted_count(exchange: Exchange) -> int:
    """Tell how often the file gives its last order: once, or as an error is planted 0 times or twice."""
    name = exchange.args["coin"]
    if planted_coin(exchange, "orders_missing") == name:
        return 0
    return 2 if planted_coin(exchange, "orders_twice") == name else 1


def _spoil(keys: OrderKeys, count: int) -> OrderKeys:
    place = np.arange(len(keys.slot))
    return keys.take(np.append(place[:-1], np.repeat(place[-1:], count)))


def latest_time(exchange: Exchange) -> Reply:
    """Answer 13: the latest snapshot's time as a bare JSON string."""
    return Reply(body=to_json(iso(published_mark(exchange.now_ms) * MARK_MS)))


def _mark(exchange: Exchange) -> int:
    """Give the path's mark; 400 where it is off the five minutes, before 2026-01-19T11:05Z or in the future."""
    try:
        moment_ms = parse_iso(exchange.args["snapshotTime"])
    except ValueError:
        raise bad_request("snapshotTime must be a valid ISO 8601 date string") from None
    if moment_ms % MARK_MS:
        raise bad_request("snapshotTime must be a multiple of 5 minutes")
    if moment_ms < ARCHIVE_FROM_MS:
        raise bad_request(f"snapshotTime must not be earlier than {iso(ARCHIVE_FROM_MS)}")
    if moment_ms > exchange.now_ms:
        raise bad_request("snapshotTime must not be in the future")
    return moment_ms // MARK_MS


def _page(exchange: Exchange, mark: int) -> Reply:
    size, after = limit(exchange, _DEFAULT_PAGE), cursor(exchange)
    book = exchange.core.market.orders
    keys = _filtered(exchange, mark)
    place, last_ms = cut_page(keys.placed_ms, after, size)
    rows = book.draw(mark, keys.take(place))
    following = to_json(make_cursor(exchange, last_ms))
    return Reply(body=b'{"orders":' + _array(rows) + b',"nextCursor":' + following + b"}")


def _filtered(exchange: Exchange, mark: int) -> OrderKeys:
    market, name = exchange.core.market, exchange.param("coin")
    keys = market.orders.keys(mark, market.codes.get(name) if name else None)
    chosen = np.full(len(keys.slot), name is None or name in market.codes)
    wallet, oid, order_type = exchange.param("address"), exchange.param("oid"), exchange.param("orderType")
    start, end = moment(exchange, "start"), moment(exchange, "end")
    if wallet:
        chosen &= _owned(market, keys, wallet)
    if oid:
        chosen &= market.orders.oids_of(keys) == (int(oid) if re.fullmatch(r"\d{1,18}", oid) else -1)
    if order_type:
        chosen &= market.orders.types_of(keys) == order_type
    if start is not None:
        chosen &= keys.placed_ms >= start
    if end is not None:
        chosen &= keys.placed_ms <= end
    return keys.take(chosen)


def _owned(market: Market, keys: OrderKeys, address: str) -> Array:
    wallet = market.wallets.find(address.lower())
    return market.orders.wallets_of(keys) == (-1 if wallet is None else wallet)


def _array(rows: OrderRows, time_field: str | None = None) -> bytes:
    """Write orders as a JSON array, field by field in the contract's order."""
    stamp = time_field or f'"snapshotTs":"{rows.snapshot_ts}"'
    template = ",".join(f'"{name}":"%s"' if name in _TEXTS else f'"{name}":%s' for name in _FIELDS)
    columns = rows.columns()
    columns["children"] = _with_children(columns, rows)
    escaped = {name: to_json(name).decode()[1:-1] for name in set(columns["coin"])}
    columns["coin"] = [escaped[name] for name in columns["coin"]]
    texts = (columns[name] if name in _TEXTS else _numbers(columns[name]) for name in _FIELDS)
    row = "{" + template + "," + stamp + "}"
    return ("[" + ",".join([row % values for values in zip(*texts, strict=True)]) + "]").encode()


def _numbers(column: list[Any]) -> list[Any]:
    """Give JSON texts of numbers and booleans, whole numbers without a decimal point."""
    if column and isinstance(column[0], bool):
        return ["true" if value else "false" for value in column]
    if column and isinstance(column[0], float):
        return [int(value) if value.is_integer() else value for value in column]
    return column


def _records(rows: OrderRows) -> list[dict[str, Any]]:
    columns = rows.columns()
    columns["children"] = [[] for _ in rows.oid]
    records = [{name: columns[name][place] for name in _FIELDS} for place in range(len(rows.oid))]
    return [{name: number(value) if isinstance(value, float) else value for name, value in row.items()} for row in records]


def _with_children(columns: dict[str, list[Any]], rows: OrderRows) -> list[str]:
    """Give each order's linked orders as JSON: a few limit orders have a take-profit that closes them, or an order that
    stands in the snapshot on its own too."""
    children = ["[]"] * len(rows.oid)
    repeated = _records(rows.repeated) if rows.repeated else []
    for place in (place for place, has_child in enumerate(rows.has_child) if has_child):
        if rows.repeats[place] >= 0:
            children[place] = to_json([repeated[rows.repeats[place]]]).decode()
            continue
        parent = {name: column[place] for name, column in columns.items()}
        changes = {
            "oid": parent["oid"] + _CHILD_OID_OFFSET,
            "side": "A" if parent["side"] == "B" else "B",
            "isTrigger": True,
            "triggerPx": number(parent["limitPx"]),
            "limitPx": number(parent["limitPx"]),
            "sz": number(parent["sz"]),
            "origSz": number(parent["sz"]),
            "triggerCondition": f"Price above {parent['limitPx']:g}",
            "reduceOnly": True,
            "orderType": "Take Profit Market",
            "untriggered": True,
        }
        children[place] = to_json([{**parent, **changes, "children": []}]).decode()
    return children
