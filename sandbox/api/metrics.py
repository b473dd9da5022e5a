"""The paged time series: market, volume, and coins alone, by cohort and by size bucket (18, 19, 21 to 23), newest first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from sandbox.api.params import bucket_id, cohort_id, cursor, cut_page, limit, make_cursor, recency, window
from sandbox.api.planting import market_of
from sandbox.market.aggregates import Total
from sandbox.market.hashing import Array, integers, smooth_noise, unit
from sandbox.market.market import Market
from sandbox.times import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, iso, to_ms
from sandbox.wire import Exchange, Reply, json_reply, not_found, number, usd

_MARKET_STEP_MS = 10 * MINUTE_MS
_MARKET_FLOOR_MS = to_ms(datetime(2025, 5, 1, tzinfo=UTC))
_VOLUME_FLOOR_MS = to_ms(datetime(2025, 11, 8, tzinfo=UTC))
_COHORT_FLOOR_MS = to_ms(datetime(2026, 2, 19, tzinfo=UTC))
_AGED_FLOOR_MS = to_ms(datetime(2026, 3, 19, tzinfo=UTC))
_ID_STRIDE = 33
_COIN_ID_STRIDE = 330
_MISSING_SHARE = 0.005
_LATE_SHARE = 0.1
_VOLUME_PER_POSITION_USD = 36_000

Row = Callable[[int], dict[str, Any]]


def general(exchange: Exchange) -> Reply:
    """Answer 18: one row a 10-minute mark, 34 to 334 ms late, of the state in force; a few marks are missing."""
    start, end = window(exchange)
    market = market_of(exchange, "market_metrics")
    seed = market.settings.seed
    marks = np.arange(max(start, _MARKET_FLOOR_MS) // _MARKET_STEP_MS, end // _MARKET_STEP_MS + 1)
    marks = marks[unit(seed, 81, marks) >= _MISSING_SHARE]
    times = marks * _MARKET_STEP_MS + 34 + integers(301, seed, 82, marks)
    return _page(exchange, times, marks, start, end, lambda mark: _market_row(market, mark))


def _market_row(market: Market, mark: int) -> dict[str, Any]:
    state = market.states.index_at(mark * _MARKET_STEP_MS)
    total = market.sums.market(state)
    return {
        "id": _serial(mark, _MARKET_FLOOR_MS, _MARKET_STEP_MS),
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
    seed = market.settings.seed
    hours = np.arange(max(start, _VOLUME_FLOOR_MS) // HOUR_MS - 1, end // HOUR_MS + 1)
    hours = hours[unit(seed, 83, hours) >= _MISSING_SHARE]
    late = np.where(unit(seed, 84, hours) < _LATE_SHARE, (5 + integers(7, seed, 85, hours)) * MINUTE_MS, 0)
    times = hours * HOUR_MS + 58 * MINUTE_MS + 600 + integers(300, seed, 86, hours) + late

    def row(hour: int) -> dict[str, Any]:
        serial = _serial(hour, _VOLUME_FLOOR_MS, HOUR_MS)
        return {"id": serial, "createdAt": "", "volume": _rolling_volume(market, hour * HOUR_MS)}

    return _page(exchange, times, hours, start, end, row)


def _rolling_volume(market: Market, moment_ms: int) -> float:
    seed = market.settings.seed
    swing = sum(smooth_noise(moment_ms, period, seed, 87, period // SECOND_MS) for period in (7 * DAY_MS, DAY_MS))
    return round(market.settings.positions * _VOLUME_PER_POSITION_USD * float(np.exp(0.6 * swing)), 6)


def coin(exchange: Exchange) -> Reply:
    """Answer 21."""
    market = market_of(exchange, "coin_metrics")
    return _coin_page(exchange, 0, lambda state, code: market.sums.coins(state).at(code), {})


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
    code = market.codes.get(name)
    if code is None:
        if name.lower() in {listed.lower() for listed in market.codes}:
            return json_reply({"metrics": [], "nextCursor": None})
        raise not_found(f"Coin {name} not found")
    jitter = market.settings.metrics_jitter_ms
    states = market.states.between(max(start, floor_ms) - jitter, end)
    late = integers(jitter, market.settings.seed, 88, states, code) if jitter else 0
    times = market.states.times(states) + late if len(states) else states

    def row(state: int) -> dict[str, Any]:
        return _coin_row(market, state, code, total_of(state, code), extra)

    return _page(exchange, times, states, max(start, floor_ms), end, row)


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
