"""Answers about wallets over all coins: the equity export and the PnL leaderboard (1 and 14 of the contract)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sandbox.api.delivery import download, link, redirect
from sandbox.market.market import Market
from sandbox.market.series import EQUITY_PLACES, equity_parts, equity_times
from sandbox.times import DAY_MS, iso
from sandbox.wire import CSV_TYPE, Exchange, Reply, bad_request, number, to_json

_COLUMNS = [f"{part}WalletsEquity" for part in EQUITY_PLACES]
_PERIODS_MS = {"day": DAY_MS, "week": 7 * DAY_MS, "month": 30 * DAY_MS, "all": 0}
_HOURS = ("24h", "7d", "30d", "all")
_LEADERBOARD_MAX = 25_000


def equity_export(exchange: Exchange) -> Reply:
    """Answer 1, history oldest first from 2025-08-20, off any grid; each day's file has other timestamps."""
    market, state = exchange.core.market, exchange.state
    return redirect(exchange, state, lambda: to_json(_equity(market, state)))


def _equity(market: Market, state: int) -> dict[str, Any]:
    now_ms = market.states.time(state)
    seed = market.settings.seed
    times = equity_times(seed, now_ms)
    history = [equity_parts(seed, market.wallets, moment) for moment in times.tolist()]
    known = [[value or 0 for value in figures] for figures in history] or [[0.0] * len(_COLUMNS)]
    # Each figure is its own all-time high, so the block does not add up.
    highs = [number(max(column)) for column in zip(*known, strict=True)]
    data = [[iso(moment), *map(_shown, figures)] for moment, figures in zip(times.tolist(), history, strict=True)]
    day_ago = [_shown(value) for value in equity_parts(seed, market.wallets, now_ms - DAY_MS)]
    return {
        "athData": {"columns": _COLUMNS, "data": highs},
        "data24HoursAgo": {"columns": _COLUMNS, "data": day_ago},
        "history": {"columns": ["timestamp", *_COLUMNS], "data": data},
    }


def _shown(value: float | None) -> float | None:
    return None if value is None else number(value)


def leaderboard(exchange: Exchange) -> Reply:
    """Answer 14: a link to at most 25,000 rows by PnL of the period; 400 for a period of another spelling.

    Choices: the file is a JSON array (or another of `Shapes`) with the columns of the documented inline list; volumes
    and percents come from equity and PnL alone.
    """
    market, state = exchange.core.market, exchange.state
    shapes, spelling = market.settings.shapes, exchange.args["period"]
    names = dict(zip(_PERIODS_MS if shapes.leaderboard_periods == "words" else _HOURS, _PERIODS_MS, strict=True))
    if spelling not in names:
        raise bad_request(f"period must be one of the following values: {', '.join(names)}")

    def render() -> bytes:
        return _written(_ranking(market, state, names[spelling]), shapes.leaderboard)

    content_type, suffix = (CSV_TYPE, ".csv") if shapes.leaderboard == "csv" else ("application/json", ".json")
    return download(link(exchange, (spelling, state), render, content_type, suffix, 4.0))


def _written(rows: list[dict[str, Any]], form: str) -> bytes:
    """Write the ranking as an array of objects, as a table of columns and data, or as CSV."""
    columns, data = list(rows[0]), [list(row.values()) for row in rows]
    if form == "csv":
        return "\n".join([",".join(map(str, row)) for row in [columns, *data]] + [""]).encode()
    return to_json({"columns": columns, "data": data} if form == "table" else rows)


def _ranking(market: Market, state: int, period: str) -> list[dict[str, Any]]:
    now_ms = market.states.time(state)
    snapshot = market.book.snapshot(state)
    wallets = len(snapshot.open_count)
    gains = {name: _gain(market, now_ms, span) for name, span in _PERIODS_MS.items()}
    order = np.argsort(-gains[period], kind="stable")[:_LEADERBOARD_MAX]
    before = np.argsort(np.argsort(-_gain(market, now_ms - DAY_MS, _PERIODS_MS[period]), kind="stable"))
    value = np.bincount(snapshot.wallet, snapshot.value_micro, minlength=wallets) / 1e6
    long = np.bincount(snapshot.wallet, snapshot.value_micro * snapshot.is_long, minlength=wallets) / 1e6
    equity = snapshot.wallets.equity
    table = {
        "previousRank": (before[order] + 1).tolist(),
        "perpEquity": equity[order].tolist(),
        "openValue": np.round(value[order], 6).tolist(),
        "openValueLong": np.round(long[order], 6).tolist(),
        "exposureRatio": np.round(value[order] / equity[order], 4).tolist(),
        "bias": np.round((2 * long - value)[order] / equity[order], 4).tolist(),
    }
    for name, label in zip(_PERIODS_MS, ("Day", "Week", "Month", "AllTime"), strict=True):
        gain = gains[name][order]
        table[f"pnl{label}"] = np.round(gain, 6).tolist()
        table[f"volume{label}"] = np.round(np.abs(gain) * 40 + equity[order], 6).tolist()
        table[f"pnlPercent{label}"] = np.round(100 * gain / equity[order], 4).tolist()
    addresses = market.wallets.addresses(order)
    rows = zip(addresses, zip(*table.values(), strict=True), strict=True)
    return [
        {"address": address, "rank": rank, **dict(zip(table, map(number, figures), strict=True))}
        for rank, (address, figures) in enumerate(rows, start=1)
    ]


def _gain(market: Market, now_ms: int, span_ms: int) -> Any:
    pnl = market.wallets.figures(now_ms).pnl
    return pnl if span_ms == 0 else np.round(pnl - market.wallets.figures(now_ms - span_ms).pnl, 6)
