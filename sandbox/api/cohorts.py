"""Answers about one cohort over all coins: summary and bias history, and the bias export (26, 27 and 2 of the contract)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sandbox.api.delivery import redirect
from sandbox.api.params import cohort_id, cursor, cut_page, limit, make_cursor, recency, window
from sandbox.market.cohorts import COHORTS
from sandbox.market.market import Market
from sandbox.market.series import BIAS_COLUMNS, bias_times, exposure
from sandbox.storage import xml_error
from sandbox.times import DAY_MS, HOUR_MS, MINUTE_MS, RECENCIES_MS, iso
from sandbox.wire import Exchange, Reply, bad_request, json_reply, number, to_json, usd

_HISTORY_DEFAULT_MS = 60 * DAY_MS
_EXPORT_WINDOW_MS = 72 * HOUR_MS
_EXPORT_STEP_MS = 30 * MINUTE_MS
_TOP_ASSETS = 10


def bias_history(exchange: Exchange) -> Reply:
    """Answer 27, newest first: every 2 hours at ten past, or every 30 minutes for `24h`. Without `start` about 60 days
    in one answer, and `limit`, `end` and `nextCursor` are refused."""
    cohort, age = cohort_id(exchange), recency(exchange)
    has_start = exchange.param("start") is not None
    if not has_start and any(exchange.param(name) for name in ("end", "nextCursor", "limit")):
        raise bad_request("'start' query param is required for 'end', 'nextCursor' and 'limit' query params")
    start, end = window(exchange, exchange.now_ms - _HISTORY_DEFAULT_MS)
    times = bias_times(exchange.core.market.settings.seed, start, end, age)
    size = limit(exchange) if has_start else max(1, len(times))
    place, last_ms = cut_page(times, cursor(exchange), size, newest_first=True)
    moments = times[place].tolist()
    rows = [_history_row(exchange.core.market, moment, cohort, age) for moment in moments]
    cohorts = exchange.core.market.cohorts.at(exchange.state_ms)
    segment = {name: value for name, value in cohorts[cohort].as_json().items() if name != "emoji"}
    body: dict[str, Any] = {"segment": segment, "positionRecencyTimeframe": age, "start": iso(start), "end": iso(end)}
    if has_start:
        body["nextCursor"] = make_cursor(exchange, last_ms)
        body["pageStart"] = iso(moments[0]) if moments else None
        body["pageEnd"] = iso(moments[-1]) if moments else None
    return json_reply({**body, "historySnapshotStructure": list(BIAS_COLUMNS), "history": rows})


def _history_row(market: Market, moment_ms: int, cohort: int, age: str) -> list[Any]:
    state = market.states.index_at(moment_ms)
    total = market.sums.market_cohorts(state, age).at(cohort - 1)
    equity = round(float(market.sums.traders(state, age).active_equity[cohort - 1]), 2)
    value, long = round(total.value / 1e6, 2), round(total.value_long / 1e6, 2)
    short = round(value - long, 2)
    signed, ratio = exposure(long, short, equity)
    return [iso(moment_ms), number(signed), number(ratio), *map(number, (value, long, short, equity))]


def bias_export(exchange: Exchange) -> Reply:
    """Answer 2. Choices, as no payload is documented: a bare array of `{segmentId, columns, data}` (or another of
    `Shapes`), columns as in 27, positions opened within 24 hours, 30-minute steps for 72 hours, newest first, all 16
    cohorts by id."""
    market, state = exchange.core.market, exchange.state
    return redirect(exchange, state, lambda: to_json(_bias_groups(market, state)))


def _bias_groups(market: Market, state: int) -> Any:
    head = market.states.time(state)
    moments = range(head // _EXPORT_STEP_MS * _EXPORT_STEP_MS, head - _EXPORT_WINDOW_MS, -_EXPORT_STEP_MS)
    columns, form = list(BIAS_COLUMNS), market.settings.shapes.bias_export
    tables = {cohort: [_history_row(market, moment, cohort, "24h") for moment in moments] for cohort in COHORTS}
    if form == "map":
        return {str(cohort): {"columns": columns, "data": data} for cohort, data in tables.items()}
    groups = [{"segmentId": cohort, "columns": columns, "data": data} for cohort, data in tables.items()]
    return {"segments": groups} if form == "named_list" else groups


def summary(exchange: Exchange) -> Reply:
    """Answer 26 inline, or by redirect where the settings say so. An unknown `positionAge` is the storage's 404.

    Choices: top assets by value, trader counts now and 24 hours ago stand beside the two documented objects.
    """
    cohort, age = cohort_id(exchange), exchange.param("positionAge") or "all"
    if age != "all" and age not in RECENCIES_MS:
        return xml_error(404, "NoSuchKey", "The specified key does not exist.")
    market, state = exchange.core.market, exchange.state
    if exchange.core.settings.summary_delivery == "redirect":
        return redirect(exchange, (cohort, age, state), lambda: to_json(_summarise(market, state, cohort, age)))
    return json_reply(_summarise(market, state, cohort, age))


def _summarise(market: Market, state: int, cohort: int, age: str) -> dict[str, Any]:
    total = market.sums.market_cohorts(state, age).at(cohort - 1)
    traders = market.sums.traders(state, age)
    equity = float(traders.active_equity[cohort - 1])
    short_value = total.value - total.value_long
    signed, ratio = exposure(total.value_long / 1e6, short_value / 1e6, equity)
    coins = market.sums.cohorts(state, age)
    in_position, in_profit = int(traders.in_position[cohort - 1]), int(traders.in_profit[cohort - 1])
    open_perps = {
        "perpBias": signed,
        "exposureRatio": ratio,
        "countOpenPositions": total.count,
        "countTradersInPosition": in_position,
        "countTradersInProfit": in_profit,
        "totalValue": usd(total.value),
        "totalLongValue": usd(total.value_long),
        "totalActivePerpEquity": number(round(equity, 6)),
        "bySide": {
            "long": {"count": total.count_long, "value": usd(total.value_long)},
            "short": {"count": total.count - total.count_long, "value": usd(short_value)},
        },
    }
    brief = {
        "countTradersInPosition": in_position,
        "perpBias": signed,
        "positionValue": usd(total.value),
        "positionLongValue": usd(total.value_long),
        "positionShortValue": usd(short_value),
        "exposureRatio": ratio,
        "activePerpEquity": number(round(equity, 6)),
    }
    if age == "all":
        all_equity = number(round(float(traders.equity[cohort - 1]), 6))
        open_perps |= {"totalPerpEquity": all_equity, "countAssets": int((coins.count[:, cohort - 1] > 0).sum())}
        brief |= {"countTraders": int(traders.count[cohort - 1]), "perpEquity": all_equity}
        brief |= {"countTraders24hAgo": _traders_a_day_ago(market, state, cohort)}
    top = _top_assets(market, state, cohort, age)
    return {
        "segment": market.cohorts.at(market.states.time(state))[cohort].as_json(),
        "openPerpsSummary": open_perps,
        "summary": brief,
        "topAssets": top,
    }


def _traders_a_day_ago(market: Market, state: int, cohort: int) -> int:
    past = market.states.index_at(market.states.time(state) - DAY_MS)
    return int(market.sums.traders(past).count[cohort - 1])


def _top_assets(market: Market, state: int, cohort: int, age: str) -> list[dict[str, Any]]:
    values = market.sums.cohorts(state, age).value[:, cohort - 1]
    top = np.argsort(-values, kind="stable")[:_TOP_ASSETS].tolist()
    return [{"coin": market.coins.names[code], "totalValue": usd(int(values[code]))} for code in top if values[code]]
