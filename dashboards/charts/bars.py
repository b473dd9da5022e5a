"""Bars and dots: amounts by day, by cohort, by price.

Belongs here: amounts of one instant or of whole days. Does not: series (`lines`), grids of cells (`heat`).
"""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd

from dashboards.charts import colours
from dashboards.charts.lines import HEIGHT, in_utc, legend, named_colours, value_axis
from dashboards.charts.units import PRICE, USD, Unit

WIDEST_PX, CHART_PX = 36, 420
TALL = HEIGHT + 60


def by_day(frame: pd.DataFrame, column: str, unit: Unit, title: str) -> alt.Chart:
    """An amount of each UTC day."""
    return _days(frame, column, unit, title).mark_bar(color=colours.MAIN, size=_width(frame))


def by_day_and_part(frame: pd.DataFrame, column: str, part: str, unit: Unit, title: str) -> alt.Chart:
    """The same in parts, in the order in which they come."""
    parts = list(dict.fromkeys(frame[part]))
    return (
        _days(frame, column, unit, title)
        .mark_bar(size=_width(frame))
        .encode(
            color=alt.Color(
                f"{part}:N",
                scale=named_colours(dict(zip(parts, colours.PARTS, strict=False))),
                legend=alt.Legend(title=None, orient="right", labelLimit=200),
            ),
            tooltip=[alt.Tooltip(f"{part}:N"), alt.Tooltip("shown:N", title=title), _day_words()],
        )
    )


def reasons_by_cohort(frame: pd.DataFrame, reasons: Mapping[str, str], order: list[str]) -> alt.Chart:
    """Changes of each cohort by reason, side by side: `reasons` are columns and their labels."""
    long = frame[["cohort", *reasons]].rename(columns=dict(reasons)).melt("cohort", var_name="reason", value_name="value")
    labels = list(reasons.values())
    return (
        alt.Chart(long, height=alt.Step(11))
        .transform_calculate(shown=USD.written("datum.value"))
        .mark_bar()
        .encode(
            y=alt.Y("cohort:N", sort=order, axis=alt.Axis(title=None, labelLimit=160)),
            yOffset=alt.YOffset("reason:N", sort=labels),
            x=alt.X("value:Q", axis=value_axis(USD, "change of value")),
            color=alt.Color(
                "reason:N", scale=named_colours({label: colours.REASONS[label] for label in labels}), legend=legend()
            ),
            tooltip=["cohort:N", "reason:N", alt.Tooltip("shown:N", title="change")],
        )
    )


def liquidations(frame: pd.DataFrame, price: float | None) -> alt.LayerChart:
    """Value to liquidate by price; longs are liquidated below the price, shorts above."""
    middle = (frame["price_from"] + frame["price_to"]) / 2
    sides = {"longs": colours.LONG, "shorts": colours.SHORT} if price is not None else {"positions": colours.QUIET}
    whose = "positions" if price is None else (middle < price).map({True: "longs", False: "shorts"})
    bars = (
        alt.Chart(frame.assign(whose=whose), height=TALL)
        .transform_calculate(
            shown=USD.written("datum.liquidation_value_usd"),
            low=PRICE.written("datum.price_from"),
            high=PRICE.written("datum.price_to"),
        )
        .mark_bar(stroke="white", strokeWidth=0.4)
        .encode(
            x=alt.X(
                "price_from:Q", bin="binned", scale=alt.Scale(zero=False, nice=False), axis=value_axis(PRICE, "price", grid=False)
            ),
            x2="price_to:Q",
            y=alt.Y("liquidation_value_usd:Q", axis=value_axis(USD, "value to liquidate")),
            color=alt.Color("whose:N", scale=named_colours(sides), legend=legend() if price is not None else None),
            tooltip=[
                alt.Tooltip("low:N", title="price from"),
                alt.Tooltip("high:N", title="price to"),
                alt.Tooltip("shown:N", title="to liquidate"),
                alt.Tooltip("position_count:Q", title="positions", format=","),
                alt.Tooltip("most_impacted_cohort:N", title="most impacted"),
            ],
        )
    )
    return alt.LayerChart(layer=[bars] if price is None else [bars, *_price_rule(price)])


def resting(frame: pd.DataFrame) -> alt.Chart:
    """Resting orders by distance from the mid price."""
    edges = zip(frame["price_band_from_pct"], frame["price_band_to_pct"], strict=True)
    rows = frame.assign(band=[_band(*pair) for pair in edges])
    axis = alt.Axis(title="distance from the mid price (%)", labelAngle=-40)
    return (
        alt.Chart(rows, height=TALL)
        .transform_calculate(shown=USD.written("datum.resting_value_usd"))
        .mark_bar()
        .encode(
            x=alt.X("band:N", sort=list(dict.fromkeys(rows["band"])), axis=axis),
            xOffset="side:N",
            y=alt.Y("resting_value_usd:Q", axis=value_axis(USD, "resting orders")),
            color=alt.Color("side:N", scale=named_colours({"buy": colours.LONG, "sell": colours.SHORT}), legend=legend()),
            tooltip=[
                "side:N",
                alt.Tooltip("band:N", title="from the mid (%)"),
                alt.Tooltip("shown:N", title="resting"),
                alt.Tooltip("order_count:Q", title="orders", format=","),
            ],
        )
    )


def distances(frame: pd.DataFrame) -> alt.Chart:
    """Positions by value and by how far they are on the way to liquidation."""
    way = alt.Axis(title="way from entry to liquidation (%; 0 in profit)", grid=False, tickCount=10)
    return (
        alt.Chart(in_utc(frame), height=HEIGHT + 40)
        .transform_calculate(shown=USD.written("datum.value_usd"), profit=USD.written("datum.unrealized_pnl_usd"))
        .mark_circle(size=70, opacity=0.75)
        .encode(
            x=alt.X("liquidation_progress_pct:Q", axis=way),
            y=alt.Y(
                "value_usd:Q",
                scale=alt.Scale(type="log", nice=False, padding=12),
                axis=value_axis(USD, "value, log scale", grid=False),
            ),
            color=alt.Color("side:N", scale=named_colours({"long": colours.LONG, "short": colours.SHORT}), legend=legend()),
            tooltip=[
                "coin:N",
                "side:N",
                alt.Tooltip("shown:N", title="value"),
                alt.Tooltip("profit:N", title="unrealised"),
                alt.Tooltip("leverage:Q"),
                "address:N",
            ],
        )
    )


def _days(frame: pd.DataFrame, column: str, unit: Unit, title: str) -> alt.Chart:
    axis = alt.Axis(title="day (UTC)", format="%d %b", tickCount={"interval": "day", "step": max(1, frame["day"].nunique() // 8)})
    return (
        alt.Chart(in_utc(frame), height=HEIGHT)
        .transform_calculate(shown=unit.written(f"datum.{column}"))
        .encode(
            x=alt.X("day:T", scale=alt.Scale(type="utc", padding=24), axis=axis),
            y=alt.Y(f"{column}:Q", axis=value_axis(unit, title)),
            tooltip=[alt.Tooltip("shown:N", title=title), _day_words()],
        )
    )


def _day_words() -> alt.Tooltip:
    return alt.Tooltip("utcyearmonthdate(day):T", title="day (UTC)", format="%Y-%m-%d")


def _width(frame: pd.DataFrame) -> float:
    return float(max(2, min(WIDEST_PX, CHART_PX / max(frame["day"].nunique(), 1))))


def _price_rule(price: float) -> list[alt.Chart]:
    base = alt.Chart(pd.DataFrame({"price": [price], "label": [f"mid {PRICE(price)}"]}))
    rule = base.mark_rule(strokeDash=[4, 3], color=colours.INK).encode(x="price:Q")
    label = base.mark_text(align="left", dx=5, baseline="top", color=colours.INK)
    return [rule, label.encode(x="price:Q", y=alt.value(2), text="label:N")]


def _band(low: float, high: float) -> str:
    if low == float("-inf"):
        return f"below {high:g}"
    return f"above {low:g}" if high == float("inf") else f"{low:g} to {high:g}"
