"""The paged time series: market, volume, and coins alone, by cohort and by size bucket (18, 19, 21 to 23), newest first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from sandbox.api.params import bucket_id, cohort_id, coin_code, cursor, cut_page, limit, make_cursor, recency, window
from sandbox.api.planting import market_of
from sandbox.market.aggregates import Total
from sandbox.market.hashing import Array
from sandbox.market.market import Market
from sandbox.market.series import (
    MARKET_FLOOR_MS,
    MARKET_STEP_MS,
    VOLUME_FLOOR_MS,
    coin_rows,
    market_rows,
    rolling_volume,
    volume_rows,
)
from sandbox.times import HOUR_MS, iso, to_ms
from sandbox.wire import Exchange, Reply, json_reply, number, usd

_COHORT_FLOOR_MS = to_ms(datetime(2026, 2, 19, tzinfo=UTC))
_AGED_FLOOR_MS = to_ms(datetime(2026, 3, 19, tzinfo=UTC))
_ID_STRIDE = 33
_COIN_ID_STRIDE = 330

Row = Callable[[int], dict[str, Any]]


def general(exchange: Exchange) -> Reply:
    """Answer 18: one row a 10-minute mark, 34 to 334 ms late, of the state in force; a few marks are missing."""
    start, end = window(exchange)
    market = market_of(exchange, "market_metrics")
    marks, times = market_rows(market.settings.seed, start, end)
    return _page(exchange, times, marks, start, end, lambda mark: _market_row(market, mark, exchange.state_ms))


def _market_row(market: Market, mark: int, asked_ms: int) -> dict[str, Any]:
    state = market.states.index_at(mark * MARKET_STEP_MS)
    total = market.restatements.of_market(
        market.sums.market(state), market.sums.coins(state).at, asked_ms, lambda moment: moment // MARKET_STEP_MS == mark
    )
    return {
        "id": _serial(mark, MARKET_FLOOR_MS, MARKET_STEP_MS),
        "createdAt": "",
        "count": total.count,
        "countLong": total.count_long,
        "countShort": total.count - total.count_long,
        "openInterest": usd(total.value),
        "openInterestLong": usd(total.value_long),
        "openInterestShort": usd(total.value - total.value_long),
        "perpEquity": number(round(market.sums.active_equity(state), 6)),
        "countInProfit": total.in_profit,
    }


def _serial(step: int, floor_ms: int, step_ms: int) -> int:
    return (step - floor_ms // step_ms + 1) * _ID_STRIDE


def perp_volume(exchange: Exchange) -> Reply:
    """Answer 19: the rolling 24-hour volume (USD), hourly at hh:58, one row in ten a few minutes late, a few missing."""
    start, end = window(exchange)
    market = exchange.core.market
    settings = market.settings
    hours, times = volume_rows(settings.seed, start, end)

    def row(hour: int) -> dict[str, Any]:
        volume = rolling_volume(settings.seed, settings.positions, hour)
        return {"id": _serial(hour, VOLUME_FLOOR_MS, HOUR_MS), "createdAt": "", "volume": volume}

    return _page(exchange, times, hours, start, end, row)


def coin(exchange: Exchange) -> Reply:
    """Answer 21."""
    market = market_of(exchange, "coin_metrics")
    asked_ms = exchange.state_ms

    def total(state: int, code: int) -> Total:
        sums = market.sums.coins(state).at(code)
        return market.restatements.of_coin(sums, code, asked_ms, lambda moment: market.states.index_at(moment) == state)

    return _coin_page(exchange, 0, total, {})


def coin_cohort(exchange: Exchange) -> Reply:
    """Answer 22; from 2026-02-19, the age filters from 2026-03-19."""
    cohort, age = cohort_id(exchange, "segment"), recency(exchange)
    market = exchange.core.market
    floor = _COHORT_FLOOR_MS if age == "all" else _AGED_FLOOR_MS
    return _coin_page(
        exchange, floor, lambda state, code: market.sums.cohorts(state, age).at(code, cohort - 1), {"segmentId": cohort}
    )


def coin_bucket(exchange: Exchange) -> Reply:
    """Answer 23. Choice: the field names of 21, the bucket id is not echoed."""
    bucket = bucket_id(exchange)
    market = exchange.core.market
    return _coin_page(exchange, 0, lambda state, code: market.sums.buckets(state).at(code, bucket - 1), {})


def _coin_page(exchange: Exchange, floor_ms: int, total_of: Callable[[int, int], Total], extra: dict[str, Any]) -> Reply:
    """Page rows of a coin's states. `createdAt` is up to `metrics_jitter_ms` after the state and differs by coin.

    A name that is listed in another case gives an empty list, an unknown one 404.
    """
    market, name = exchange.core.market, exchange.args["coin"]
    start, end = window(exchange)
    if name not in market.codes and name.lower() in {listed.lower() for listed in market.codes}:
        return json_reply({"metrics": [], "nextCursor": None})
    code, settings = coin_code(exchange, or_delisted=True), market.settings
    start, end = market.listings.clip(code, max(start, floor_ms), end)
    states, times = coin_rows(settings.seed, market.states, settings.metrics_jitter_ms, code, start, end)

    def row(state: int) -> dict[str, Any]:
        return _coin_row(market, state, code, total_of(state, code), extra)

    return _page(exchange, times, states, start, end, row)


def _coin_row(market: Market, state: int, code: int, total: Total, extra: dict[str, Any]) -> dict[str, Any]:
    lot = float(market.coins.lot[code])
    return {
        "id": state * max(_COIN_ID_STRIDE, len(market.coins.names)) + code + 1,
        "createdAt": "",
        "coin": market.coins.names[code],
        **extra,
        "positionCount": total.count,
        "positionCountLong": total.count_long,
        "totalPositionValue": usd(total.value),
        "totalPositionValueLong": usd(total.value_long),
        "totalFunding": number(total.funding),
        "totalUnrealizedPnl": number(total.unrealized),
        "totalPositionSize": number(round(total.lots * lot, 6)),
        "totalPositionSizeLong": number(round(total.lots_long * lot, 6)),
    }


def _page(exchange: Exchange, times: Array, keys: Array, start: int, end: int, row: Row) -> Reply:
    """Answer a page of the rows whose time is in [start, end], newest first; rows are made for the page alone."""
    size, after = limit(exchange), cursor(exchange)
    inside = (times >= start) & (times <= end)
    order = np.argsort(-times[inside], kind="stable")
    times, keys = times[inside][order], keys[inside][order]
    place, last_ms = cut_page(times, after, size, newest_first=True)
    pairs = zip(times[place].tolist(), keys[place].tolist(), strict=True)
    rows = [{**row(key), "createdAt": iso(created)} for created, key in pairs]
    return json_reply({"metrics": rows, "nextCursor": make_cursor(exchange, last_ms)})
