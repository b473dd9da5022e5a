"""The page Market: the whole exchange over time."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboards.charts import colours
from dashboards.charts.bars import by_day
from dashboards.charts.lines import lines
from dashboards.charts.units import CHANGE_PERCENT, CHANGE_POINTS, COUNT, PERCENT, RATIO, USD
from dashboards.pages.panels import Panel, show_chart, show_tile
from dashboards.pages.view import View
from dashboards.queries.market import daily_volume, equity, market, rolling_volume

SOURCE = "market_metrics"
ROLLING = "Volume of the 24 hours before each reading. Readings overlap: never sum them."


def show(view: View) -> None:
    """Tiles, then charts in two columns."""
    overall, volume = view.ask(market, view.span), view.ask(rolling_volume, view.span)
    _show_tiles(overall, volume)
    left, right = st.columns(2, gap="large")
    with left:
        _show_open_interest(view, overall)
        _show_volume(view, volume)
        _show_equity(view, overall)
    with right:
        _show_positions(view, overall)
        _show_daily_volume(view)
        _show_in_profit(view, overall)
    _show_wallets(view)


def _show_tiles(overall: pd.DataFrame, volume: pd.DataFrame) -> None:
    tiles = st.columns(5)
    with tiles[0]:
        show_tile(
            "Open interest",
            USD,
            overall["open_interest_usd"],
            CHANGE_PERCENT,
            "One side, the conventional figure; change over the range.",
        )
    with tiles[1]:
        show_tile("Open positions", COUNT, overall["position_count"], CHANGE_PERCENT)
    with tiles[2]:
        show_tile("Volume, 24 h", USD, volume["rolling_24h_volume_usd"], CHANGE_PERCENT, ROLLING)
    with tiles[3]:
        show_tile("Perp equity", USD, overall["perp_equity_usd"], CHANGE_PERCENT)
    with tiles[4]:
        show_tile(
            "In profit",
            PERCENT,
            overall["in_profit_fraction"],
            CHANGE_POINTS,
            "Share of open positions; change in percentage points over the range.",
        )


def _show_open_interest(view: View, overall: pd.DataFrame) -> None:
    remark = "Of longs: the conventional figure is one side, not both. The download has both."
    panel = Panel("Open interest", SOURCE, remark=remark, is_series=True)
    series = {"open_interest_usd": ("open interest", colours.MAIN)}
    show_chart(view, panel, overall, lambda frame: lines(frame, series, USD, "open interest"))


def _show_positions(view: View, overall: pd.DataFrame) -> None:
    sides = {"long_position_count": ("long", colours.LONG), "short_position_count": ("short", colours.SHORT)}
    show_chart(
        view, Panel("Open positions", SOURCE, is_series=True), overall, lambda frame: lines(frame, sides, COUNT, "positions")
    )


def _show_volume(view: View, volume: pd.DataFrame) -> None:
    series = {"rolling_24h_volume_usd": ("volume", colours.MAIN)}
    panel = Panel("Volume, rolling 24 hours", "perp_volume", remark=ROLLING, is_series=True)
    show_chart(view, panel, volume, lambda frame: lines(frame, series, USD, "volume of 24 h"))


def _show_daily_volume(view: View) -> None:
    panel = Panel("Volume by day", "perp_volume", remark="The last reading of each whole UTC day, never a sum of readings.")
    show_chart(
        view, panel, view.ask(daily_volume, view.span), lambda frame: by_day(frame, "volume_usd", USD, "volume of the day")
    )


def _show_equity(view: View, overall: pd.DataFrame) -> None:
    series = {"open_interest_to_equity_ratio": ("open interest / perp equity", colours.THIRD)}
    panel = Panel(
        "Open interest against perp equity", SOURCE, remark="Open interest of one side over the perp equity of all wallets."
    )
    show_chart(view, panel, overall, lambda frame: lines(frame, series, RATIO, "open interest / perp equity"))


def _show_in_profit(view: View, overall: pd.DataFrame) -> None:
    series = {"in_profit_fraction": ("in profit", colours.MAIN)}
    show_chart(
        view,
        Panel("Positions in profit", SOURCE, is_series=True),
        overall,
        lambda frame: lines(frame, series, PERCENT, "share of open positions"),
    )


def _show_wallets(view: View) -> None:
    parts = {f"{part}_equity_usd": (part, colour) for part, colour in colours.EQUITY.items()}
    remark = (
        "Read every few days. Vault equity was not tracked before 2025-09-02: unknown, not zero. Suspect readings are left out."
    )
    panel = Panel("Equity of all wallets, by part", "wallets_equity_export", remark=remark)
    show_chart(view, panel, view.ask(equity, view.span), lambda frame: lines(frame, parts, USD, "equity", is_regular=False))
