"""The page Wallets: the largest positions and who moved on the leaderboard."""

from __future__ import annotations

import streamlit as st

from dashboards.charts.bars import distances
from dashboards.charts.units import CHANGE_COUNT, CHANGE_USD, COUNT, PLAIN_PERCENT, PRICE, RATIO, TIMES, USD, Unit
from dashboards.pages.panels import Panel, show_chart, show_table
from dashboards.pages.view import View
from dashboards.queries.coin import coins
from dashboards.queries.wallets import MOVES, largest_positions, leaderboard

POSITIONS_SHOWN, WALLETS_SHOWN = 200, 200
POSITIONS = {
    "coin": "coin", "side": "side", "value_usd": "value", "unrealized_pnl_usd": "unrealised", "leverage": "leverage",
    "entry_price": "entry", "liquidation_price": "liquidation", "liquidation_progress_pct": "way to it", "address": "wallet",
    "size_cohort": "cohort (size)", "wallet_perp_equity_usd": "its perp equity", "wallet_open_position_count": "its positions",
    "opened_at": "opened (UTC)",
}  # fmt: skip
NARROW = {"address": 110}
POSITION_UNITS: dict[str, Unit] = {
    "value_usd": USD, "unrealized_pnl_usd": CHANGE_USD, "leverage": TIMES, "entry_price": PRICE, "liquidation_price": PRICE,
    "liquidation_progress_pct": PLAIN_PERCENT, "wallet_perp_equity_usd": USD, "wallet_open_position_count": COUNT,
}  # fmt: skip
LEADERS = {
    "rank": "rank", "places_climbed": "places climbed", "address": "address", "pnl_usd": "profit", "pnl_pct": "profit, %",
    "volume_usd": "volume", "perp_equity_usd": "perp equity", "gross_value_usd": "open value", "exposure_bias": "bias",
}  # fmt: skip
LEADER_UNITS: dict[str, Unit] = {
    "rank": COUNT, "places_climbed": CHANGE_COUNT, "pnl_usd": CHANGE_USD, "pnl_pct": PLAIN_PERCENT, "volume_usd": USD,
    "perp_equity_usd": USD, "gross_value_usd": USD, "exposure_bias": RATIO,
}  # fmt: skip
PERIODS = {"day": "day", "week": "week", "month": "month", "all": "all time"}


def show(view: View) -> None:
    """Positions first, then the leaderboard."""
    with st.sidebar:
        chosen: list[str] = st.multiselect(
            "Coins, largest open interest first",
            view.ask(coins)["coin"],
            placeholder="all coins",
            key="coins",
            bind="query-params",
        )
        side = st.segmented_control(
            "Side", ["both", "long", "short"], default="both", required=True, key="side", bind="query-params"
        )
    _show_positions(view, tuple(chosen), None if side == "both" else side)
    _show_leaderboard(view)


def _show_positions(view: View, chosen: tuple[str, ...], side: str | None) -> None:
    found = view.ask(largest_positions, chosen, side, view.span, POSITIONS_SHOWN)
    remark = "Of each coin's newest complete snapshot in the range. A wallet's figures repeat on its positions: never sum them."
    show_table(
        view,
        Panel(f"The {POSITIONS_SHOWN} largest positions", "open_positions", remark=remark),
        found,
        POSITIONS,
        POSITION_UNITS,
        NARROW,
    )
    reachable = found.dropna(subset=["liquidation_price"])
    panel = Panel(
        "How close the largest are to liquidation",
        "open_positions",
        remark="Positions without a liquidation price that can be reached are left out.",
    )
    show_chart(view, panel, reachable, distances)


def _show_leaderboard(view: View) -> None:
    left, right, _ = st.columns([3, 3, 2])
    period = left.segmented_control(
        "Period", list(PERIODS), format_func=PERIODS.__getitem__, default="day", required=True, key="period"
    )
    order = right.segmented_control("Order", list(MOVES), default="best", required=True, key="order")
    found = view.ask(leaderboard, period or "day", order or "best", view.span, WALLETS_SHOWN)
    remark = (
        "Profit of the period; a list of at most 25,000 wallets, captured once a day. Places against the rank before, as sent."
    )
    show_table(view, Panel("Leaderboard", "perp_pnl_leaderboard", remark=remark), found, LEADERS, LEADER_UNITS)
