"""The page Coin: one coin over time, by size and cohort, around its price."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboards.charts import colours
from dashboards.charts.bars import liquidations as draw_liquidations
from dashboards.charts.bars import resting as draw_resting
from dashboards.charts.heat import liquidations_over_time
from dashboards.charts.lines import lines
from dashboards.charts.units import (
    CHANGE_COUNT,
    CHANGE_PERCENT,
    CHANGE_POINTS,
    COUNT,
    PERCENT,
    PRICE,
    USD,
    Unit,
)
from dashboards.pages.panels import Panel, show_chart, show_table, show_tile
from dashboards.pages.view import View
from dashboards.queries.coin import (
    by_cohort,
    by_size,
    coin_series,
    coin_sources,
    coins,
    liquidation_history,
    liquidations,
    price,
    resting,
)
from warehouse.connection import WarehouseError

AXES = {"size": "by wallet equity", "pnl": "by all-time profit"}
WIDTHS = {"± 10 %": 0.1, "± 25 %": 0.25, "± 50 %": 0.5, "all": None}
BREAKDOWN = {
    "position_count": "positions", "position_count_change": "change", "gross_value_usd": "value, both sides",
    "gross_value_change_fraction": "change of value", "long_value_usd": "long", "short_value_usd": "short",
    "long_fraction": "long share", "near_liquidation_value_usd": "near liquidation",
}  # fmt: skip
BREAKDOWN_UNITS: dict[str, Unit] = {
    "position_count": COUNT, "position_count_change": CHANGE_COUNT, "gross_value_usd": USD,
    "gross_value_change_fraction": CHANGE_PERCENT, "long_value_usd": USD, "short_value_usd": USD,
    "long_fraction": PERCENT, "near_liquidation_value_usd": USD,
}  # fmt: skip
PAST = "Change since the earlier time that the provider compares with; how much earlier is undocumented."


def show(view: View) -> None:
    """Pickers, series, breakdowns, then what lies around the price."""
    known = view.ask(coins)["coin"].tolist()
    if not known:
        raise WarehouseError("no coin has arrived yet", "run `htw poll coins`")
    with st.sidebar:
        coin = st.selectbox("Coin, largest open interest first", known, key="coin", bind="query-params")
        dataset = _pick_source(view, coin)
    series = view.ask(coin_series, coin, dataset, view.span)
    prices = view.ask(price, coin, view.span)
    _show_tiles(series, prices)
    _show_series(view, coin, dataset, series)
    _show_size(view, coin)
    _show_cohorts(view, coin)
    _show_around_the_price(view, coin, prices)


def _pick_source(view: View, coin: str) -> str:
    found = view.ask(coin_sources, coin, view.span)["dataset"].tolist() or ["coin_metrics"]
    aid = "Each dataset describes the same positions: one is shown at a time, the one with most readings first."
    return str(st.selectbox("Source of the series", found, key="source", help=aid, bind="query-params"))


def _show_tiles(series: pd.DataFrame, prices: pd.DataFrame) -> None:
    tiles = st.columns(4)
    with tiles[0]:
        show_tile("Open interest", USD, series["open_interest_usd"], CHANGE_PERCENT, "Long side; change over the range.")
    with tiles[1]:
        show_tile("Open positions", COUNT, series["position_count"], CHANGE_PERCENT)
    with tiles[2]:
        show_tile("Long share of positions", PERCENT, series["long_position_count"] / series["position_count"], CHANGE_POINTS)
    with tiles[3]:
        show_tile("Mid price", PRICE, prices["mid_price"], CHANGE_PERCENT, "Middle between best resting bid and ask.")


def _show_series(view: View, coin: str, dataset: str, series: pd.DataFrame) -> None:
    values = {"open_interest_usd": ("open interest", colours.MAIN)}
    counts = {"long_position_count": ("long", colours.LONG), "short_position_count": ("short", colours.SHORT)}
    left, right = st.columns(2, gap="large")
    with left:
        show_chart(
            view,
            Panel("Open interest", dataset, coin, is_series=True),
            series,
            lambda frame: lines(frame, values, USD, "open interest"),
        )
    with right:
        show_chart(
            view,
            Panel("Open positions", dataset, coin, is_series=True),
            series,
            lambda frame: lines(frame, counts, COUNT, "positions"),
        )


def _show_size(view: View, coin: str) -> None:
    panel = Panel("By position size", "breakdown_by_size_export", coin, PAST)
    show_table(view, panel, view.ask(by_size, coin, view.span), {"size_bucket": "size", **BREAKDOWN}, BREAKDOWN_UNITS)


def _show_cohorts(view: View, coin: str) -> None:
    for axis, tab in zip(AXES, st.tabs([f"Cohorts {words}" for words in AXES.values()]), strict=True):
        with tab:
            panel = Panel(f"By cohort, {axis} axis", "breakdown_by_cohort_export", coin, f"{PAST} Never add the two axes.")
            show_table(
                view, panel, view.ask(by_cohort, coin, axis, view.span), {"cohort": "cohort", **BREAKDOWN}, BREAKDOWN_UNITS
            )


def _show_around_the_price(view: View, coin: str, prices: pd.DataFrame) -> None:
    middle = None if prices.empty else float(prices["mid_price"].iloc[-1])
    width = st.segmented_control(
        "Around the price", list(WIDTHS), default="± 25 %", required=True, key="around", bind="query-params"
    )
    low, high = _bounds(middle, WIDTHS[width or "all"])
    left, right = st.columns(2, gap="large")
    with left:
        _show_liquidations(view, coin, middle, low, high)
    with right:
        panel = Panel("Liquidations over time", "liquidation_heatmap_export", coin, "The line is the mid price.")
        history = view.ask(liquidation_history, coin, view.span, low, high)
        show_chart(view, panel, history, lambda frame: liquidations_over_time(frame, prices))
    has_triggers = st.toggle(
        "With trigger orders (stops, take-profits) at their trigger price", key="triggers", bind="query-params"
    )
    panel = Panel(
        "Resting liquidity", "order_snapshots", coin, "Open orders of the newest snapshot by distance from the mid price."
    )
    show_chart(view, panel, view.ask(resting, coin, view.span, has_triggers), draw_resting)


def _show_liquidations(view: View, coin: str, middle: float | None, low: float, high: float) -> None:
    bins = view.ask(liquidations, coin, view.span)
    near = bins[(bins["price_to"] > low) & (bins["price_from"] < high)]
    panel = Panel(
        "Liquidations around the price",
        "liquidation_heatmap_export",
        coin,
        "Positions that would be liquidated in each price range.",
    )
    show_chart(view, panel, near, lambda frame: draw_liquidations(frame, middle))


def _bounds(middle: float | None, width: float | None) -> tuple[float, float]:
    if middle is None or width is None:
        return 0.0, float("inf")
    return middle * (1 - width), middle * (1 + width)
