"""The exports of one coin: liquidation heatmap, positions, breakdowns, time series (3 to 8 of the contract).

Suffixes `-24h`, `-7d`, `-30d` keep positions opened within that time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sandbox.api.current import long_fraction
from sandbox.api.delivery import redirect
from sandbox.api.params import coin_code
from sandbox.api.planting import market_of, planted_coin
from sandbox.market.aggregates import Total
from sandbox.market.cohorts import BUCKET_COUNT, BUCKET_LABELS, Cohort, bucket_bounds
from sandbox.market.hashing import Array
from sandbox.market.market import Market
from sandbox.times import DAY_MS, HOUR_MS, RECENCIES_MS, iso
from sandbox.wire import Exchange, Reply, not_found, number, to_json, usd

_METRICS_WINDOW_MS = 14 * DAY_MS
_SEGMENT_WINDOW_MS = 7 * DAY_MS
_SEGMENT_STEP_MS = 12 * HOUR_MS
_PAST_MS = DAY_MS
_BIN_COUNT = 100
_TOP_POSITIONS = 10
_BIN_WIDTH = 0.01
_METRIC_COLUMNS = ("timestamp", "positionCount", "positionCountLong", "totalPositionValue", "totalPositionValueLong")


@dataclass(frozen=True)
class View:
    """What an export looks at: one coin at one state, positions of all ages or of one recency.

    `market` is seen at this state, `past_market` at every other: an error may be planted in the present alone.
    """

    market: Market
    past_market: Market
    state: int
    code: int
    recency: str

    @property
    def coin(self) -> str:
        """Give the coin's name."""
        return self.market.coins.names[self.code]

    @property
    def time_ms(self) -> int:
        """Give the state's time."""
        return self.market.states.time(self.state)

    def at(self, moment_ms: int) -> View:
        """Look at the state in force at another time."""
        state = self.market.states.index_at(moment_ms)
        return self if state == self.state else replace(self, state=state, market=self.past_market)

    @property
    def past(self) -> View:
        """Look at what `past*` fields compare with. Choice: the state in force 24 hours earlier."""
        return self.at(self.time_ms - _PAST_MS)

    @property
    def cohorts(self) -> list[Cohort]:
        """Give the cohorts as they are defined at the state, by id."""
        return list(self.market.cohorts.at(self.time_ms).values())

    def listed(self, moments: Iterable[int]) -> list[int]:
        """Give the moments at which the coin is listed."""
        return [moment for moment in moments if self.market.listings.is_listed(self.code, moment)]

    def restated(self, total: Total, moment_ms: int, step_ms: int) -> Total:
        """Give the sums of a grid's row as they are served at this state."""
        changes = self.market.restatements
        return changes.of_coin(total, self.code, self.time_ms, lambda moment: moment // step_ms * step_ms == moment_ms)

    def total(self) -> Total:
        """Give the coin's sums."""
        return self.market.sums.coins(self.state, self.recency).at(self.code)

    def cohort(self, cohort_id: int) -> Total:
        """Give the sums of one cohort."""
        return self.market.sums.cohorts(self.state, self.recency).at(self.code, cohort_id - 1)

    def bucket(self, bucket_id: int) -> Total:
        """Give the sums of one size bucket."""
        return self.market.sums.buckets(self.state, self.recency).at(self.code, bucket_id - 1)


def coin_export(exchange: Exchange) -> Reply:
    """Answer any export of a coin by a redirect; 404 for a file that does not exist."""
    code, state = coin_code(exchange), exchange.state
    name, recency = _split_suffix(exchange.args["file"])
    render = EXPORTS.get(name)
    missing = name == "positions" and exchange.core.settings.shapes.coin_positions == "missing"
    if render is None or missing or (recency != "all" and name not in _WITH_SUFFIX):
        raise not_found(f"Cannot GET {exchange.path}")
    planted = _PLANTED.get(name, "")
    view = View(market_of(exchange, planted), exchange.core.market, state, code, recency)
    return redirect(exchange, (code, state, planted_coin(exchange, planted)), lambda: to_json(render(view)))


def _split_suffix(file: str) -> tuple[str, str]:
    name, _, suffix = file.rpartition("-")
    return (name, suffix) if suffix in RECENCIES_MS else (file, "all")


def _liquidation_heatmap(view: View) -> Any:
    """Choices: 100 bins of 1 % of the mark, centred on it; empty ones left out; a bin holds the value at the mark of
    the positions whose liquidation price is in it; the most impacted cohort is of the size axis, by value."""
    snapshot = view.market.book.snapshot(view.state)
    rows, mark = snapshot.rows_of(view.code), float(snapshot.mark[view.code])
    price = snapshot.liquidation[rows]
    bins = np.floor((price - 0.5 * mark) / (_BIN_WIDTH * mark)).astype(np.int64)
    inside = (price > 0) & (bins >= 0) & (bins < _BIN_COUNT)
    bins, value = bins[inside], snapshot.value_micro[rows][inside]
    cohort = snapshot.wallets.size_cohort[snapshot.wallet[rows][inside]]
    values = np.bincount(bins * 17 + cohort, value, minlength=_BIN_COUNT * 17).reshape(_BIN_COUNT, 17)
    counts = np.bincount(bins, minlength=_BIN_COUNT).tolist()
    found = [_bin(view.coin, place, mark, values[place], counts[place]) for place in range(_BIN_COUNT) if counts[place]]
    return {"coin": view.coin, "heatmap": found}


def _bin(coin: str, place: int, mark: float, values: Array, count: int) -> dict[str, Any]:
    start = mark * (0.5 + _BIN_WIDTH * place)
    return {
        "coin": coin,
        "priceBinIndex": place,
        "priceBinStart": number(round(start, 8)),
        "priceBinEnd": number(round(start + _BIN_WIDTH * mark, 8)),
        "liquidationValue": usd(float(values.sum())),
        "positionsCount": count,
        "mostImpactedSegment": int(values.argmax()),
    }


def _positions(view: View) -> Any:
    """Choice, as the payload is unknown: size ranges with past values, as the page describes it; or the ten largest
    positions, as objects or as a table."""
    form = view.market.settings.shapes.coin_positions
    if form in ("top", "table"):
        return _top_positions(view, form == "table")
    ranges = [{"range": row.pop("size"), **row} for row in _bucket_rows(view)]
    return {"coin": view.coin, "createdAt": iso(view.time_ms), "positions": ranges}


def _top_positions(view: View, as_table: bool) -> Any:
    snapshot = view.market.book.snapshot(view.state)
    rows = snapshot.rows_of(view.code)
    places = rows.start + np.argsort(-snapshot.value_micro[rows], kind="stable")[:_TOP_POSITIONS]
    columns = ["address", "side", "size", "value"]
    sides = np.where(snapshot.is_long[places], "long", "short").tolist()
    values = [usd(value) for value in snapshot.value_micro[places].tolist()]
    addresses, sizes = view.market.wallets.addresses(snapshot.wallet[places]), snapshot.size[places].tolist()
    data = [list(row) for row in zip(addresses, sides, sizes, values, strict=True)]
    if as_table:
        return {"coin": view.coin, "positions": {"columns": columns, "data": data}}
    return {"coin": view.coin, "positions": [dict(zip(columns, row, strict=True)) for row in data]}


def _with_past(total: Total, past: Total) -> dict[str, Any]:
    return {
        "positionCount": total.count,
        "pastPositionCount": past.count,
        "totalPositionValue": usd(total.value),
        "pastTotalPositionValue": usd(past.value),
        "totalPositionValueLong": usd(total.value_long),
        "valueCloseToLiquidation": usd(total.near),
        "bias": long_fraction(total),
    }


def _breakdown_by_cohort(view: View) -> Any:
    """Choices: all 16 cohorts in order of id, also those without positions (bias 0.5)."""
    past = view.past
    rows = [
        {"segment": cohort.as_json(), **_with_past(view.cohort(cohort.id), past.cohort(cohort.id))} for cohort in view.cohorts
    ]
    return {"coin": view.coin, "createdAt": iso(view.time_ms), "breakdownByCohort": rows}


def _bucket_rows(view: View) -> list[dict[str, Any]]:
    past, rows = view.past, []
    for bucket in range(1, BUCKET_COUNT + 1):
        lower, upper = bucket_bounds(bucket)
        head = {"sizeSegmentId": bucket, "size": BUCKET_LABELS[bucket - 1], "minSize": lower, "maxSize": upper}
        rows.append({**head, **_with_past(view.bucket(bucket), past.bucket(bucket))})
    return rows


def _breakdown_by_size(view: View) -> Any:
    """Ten buckets in order of id."""
    return {"coin": view.coin, "createdAt": iso(view.time_ms), "breakdownBySize": _bucket_rows(view)}


def _metric_row(moment_ms: int, total: Total) -> list[Any]:
    return [iso(moment_ms), total.count, total.count_long, usd(total.value), usd(total.value_long)]


def _position_metrics(view: View) -> Any:
    """Six column names for rows of five values; the live state first, then even hours, last the window's edge. The
    grid and whether rows carry the coin are `Shapes`."""
    head, shapes = view.time_ms, view.market.settings.shapes
    step = shapes.metrics_step_h * HOUR_MS
    tail = (head - _METRICS_WINDOW_MS) // HOUR_MS * HOUR_MS
    marks = [*range(head // step * step, tail, -step), tail]
    moments = view.listed([head, *(mark for mark in marks if mark != head)])
    totals = [view.restated(view.at(moment).total(), moment, step) for moment in moments]
    coin = [view.coin] if shapes.metrics_columns == "even" else []
    rows = [[*coin, *_metric_row(moment, total)] for moment, total in zip(moments, totals, strict=True)]
    return {"coin": view.coin, "metrics": {"columns": ["coin", *_METRIC_COLUMNS], "data": rows}}


def _segment_metrics(view: View) -> Any:
    """Choices: all 16 cohorts in order of id; steps at 00:00 and 12:00 UTC; columns and rows agree."""
    head = view.time_ms
    marks = range(head // _SEGMENT_STEP_MS * _SEGMENT_STEP_MS, head - _SEGMENT_WINDOW_MS, -_SEGMENT_STEP_MS)
    views = [(moment, view.at(moment)) for moment in view.listed([head, *(mark for mark in marks if mark != head)])]
    groups = []
    for cohort in view.cohorts:
        totals = [(moment, view.restated(then.cohort(cohort.id), moment, _SEGMENT_STEP_MS)) for moment, then in views]
        rows = [[*_metric_row(moment, total), long_fraction(total)] for moment, total in totals]
        groups.append({"segment": cohort.as_json(), "metrics": {"columns": [*_METRIC_COLUMNS, "bias"], "data": rows}})
    return {"coin": view.coin, "data": groups}


EXPORTS: dict[str, Callable[[View], Any]] = {
    "liquidation-heatmap": _liquidation_heatmap,
    "positions": _positions,
    "position-breakdown-by-cohort": _breakdown_by_cohort,
    "position-breakdown-by-size": _breakdown_by_size,
    "position-metrics": _position_metrics,
    "segment-metrics": _segment_metrics,
}
_PLANTED = {
    "liquidation-heatmap": "liquidation_heatmap",
    "position-breakdown-by-cohort": "breakdown_by_cohort",
    "position-breakdown-by-size": "breakdown_by_size",
    "position-metrics": "position_metrics",
    "segment-metrics": "segment_metrics",
}
_WITH_SUFFIX = ("position-breakdown-by-cohort", "position-breakdown-by-size", "segment-metrics")
