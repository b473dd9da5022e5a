"""Answers about the state in force: `/hypertracker/state/status`, `/segments`, `/positions/coins`, `/positions/heatmap`,
`/{segmentId}/assets/liquidation-risk` (29, 25, 17, 20, 24 of the contract)."""

from __future__ import annotations

from typing import Any

from sandbox.api.params import cohort_id, recency
from sandbox.api.planting import market_of
from sandbox.market.aggregates import Total
from sandbox.market.cohorts import COHORTS
from sandbox.times import MINUTE_MS, iso
from sandbox.wire import Exchange, Reply, bad_request, json_reply, number, usd

_NEXT_UPDATE_MS = 15 * MINUTE_MS
_THRESHOLD_MS = 20 * MINUTE_MS
_RISK_PAGE_MAX = 500
_PLACES_OUT_OF_ORDER = (4, 8, 11)


def state_status(exchange: Exchange) -> Reply:
    """Answer 29. Choices: all three are ISO times; the next update is promised 15 min after the last, the threshold
    (20 min after) is when it counts as late."""
    last = exchange.state_ms
    body = {"lastUpdate": iso(last), "nextUpdate": iso(last + _NEXT_UPDATE_MS)}
    return json_reply({**body, "nextUpdateThreshold": iso(last + _THRESHOLD_MS)})


def segments(exchange: Exchange) -> Reply:
    """Answer 25: a bare array. Choice: open ends of criteria are absent."""
    return json_reply([cohort.as_json() for cohort in exchange.core.market.cohorts.at(exchange.state_ms).values()])


def coins(exchange: Exchange) -> Reply:
    """Answer 17: a bare array by value, largest first but for three places, as in the documented sample."""
    market = market_of(exchange, "coins")
    totals = market.sums.coins(exchange.state)
    rows = [_coin_row(name, totals.at(code)) for code, name in enumerate(market.coins.names) if totals.count[code]]
    rows.sort(key=lambda row: -row["totalValue"])
    for place in _PLACES_OUT_OF_ORDER:
        if place + 1 < len(rows):
            rows[place], rows[place + 1] = rows[place + 1], rows[place]
    return json_reply(rows)


def _coin_row(name: str, total: Total) -> dict[str, Any]:
    return {
        "coin": name,
        "totalValue": usd(total.value),
        "totalValueLong": usd(total.value_long),
        "totalValueShort": usd(total.value - total.value_long),
        "count": total.count,
        "countLong": total.count_long,
        "countShort": total.count - total.count_long,
    }


def _long_short(total: Total) -> dict[str, Any]:
    return {
        "totalValue": usd(total.value),
        "totalLongValue": usd(total.value_long),
        "totalShortValue": usd(total.value - total.value_long),
        "count": total.count,
        "countLong": total.count_long,
        "countShort": total.count - total.count_long,
    }


def heatmap(exchange: Exchange) -> Reply:
    """Answer 20: coins by value with their cohorts; cohorts without positions are left out. `bias` is the long
    fraction, 3 decimals."""
    age = recency(exchange, "openedWithin")
    market = market_of(exchange, "heatmap")
    sums = market.sums
    totals, cohorts = sums.coins(exchange.state, age), sums.cohorts(exchange.state, age)
    rows = []
    for code, name in enumerate(market.coins.names):
        if not totals.count[code]:
            continue
        present = [(cohort, cohorts.at(code, cohort - 1)) for cohort in COHORTS if cohorts.count[code, cohort - 1]]
        parts = [{"segmentId": cohort, **_long_short(part), "bias": long_fraction(part)} for cohort, part in present]
        rows.append({"coin": name, **_long_short(totals.at(code)), "segments": parts})
    rows.sort(key=lambda row: -row["totalValue"])
    return json_reply({"heatmap": rows})


def long_fraction(total: Total) -> float:
    """Give the share of longs in value, 3 decimals; 0.5 where there is nothing."""
    return round(total.value_long / total.value, 3) if total.value else 0.5


def liquidation_risk(exchange: Exchange) -> Reply:
    """Answer 24, by `percentRisk`, largest first. Choice: `riskValue` is the value of positions at least 75 % of the
    way to liquidation; `percentRisk` is their share by *number*, so it follows from neither figure beside it."""
    cohort = cohort_id(exchange)
    market = exchange.core.market
    totals = market.sums.cohorts(exchange.state)
    rows: list[dict[str, Any]] = []
    for code, name in enumerate(market.coins.names):
        total = totals.at(code, cohort - 1)
        if total.count:
            values = {"totalValue": usd(total.value), "riskValue": usd(total.near)}
            rows.append({"coin": name, **values, "percentRisk": number(round(100 * total.near_count / total.count, 2))})
    rows.sort(key=lambda row: (-row["percentRisk"], row["coin"]))
    offset, size = _natural(exchange, "offset", 0), _natural(exchange, "limit", _RISK_PAGE_MAX)
    if size > _RISK_PAGE_MAX:
        raise bad_request(f"limit must not be greater than {_RISK_PAGE_MAX}")
    return json_reply({"totalCount": len(rows), "items": rows[offset : offset + size]})


def _natural(exchange: Exchange, name: str, default: int) -> int:
    text = exchange.param(name)
    if text is None:
        return default
    if not text.isdigit():
        raise bad_request(f"{name} must be an integer not less than 0")
    return int(text)
