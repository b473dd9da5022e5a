"""The page Cohorts: where the sixteen cohorts lean, one axis at a time."""

from __future__ import annotations

import streamlit as st

from dashboards.charts import colours
from dashboards.charts.bars import reasons_by_cohort
from dashboards.charts.heat import leaning
from dashboards.charts.lines import lines_of
from dashboards.charts.units import RATIO
from dashboards.pages.panels import Panel, show_chart
from dashboards.pages.view import View
from dashboards.queries.cohorts import bias, bias_sources, cohorts, coins_by_cohort, flows
from dashboards.queries.coin import coins
from warehouse.connection import WarehouseError

AXES = {"size": "size (wallet perp equity)", "pnl": "pnl (all-time perp profit)"}
AXES_AID = "Every position counts once on each axis: the two are never added together."
BIAS = "Long less short value over active perp equity: 0 is neutral, above is long; may exceed 1."
FLOWS = "Trading: opened, closed, resized. Migration: wallets that changed their cohort. Price: positions that stayed, revalued."
NO_FLOWS = "No two complete snapshots of this range are compared yet; changes are shown once there are"
REASONS = {"trading_value_usd": "trading", "migration_value_usd": "migration", "revalued_value_usd": "price"}
ALL_COINS = "all coins"
COINS_SHOWN = 20
USUAL_SERIES = ("segment_bias_history", "all")
DRAWN = ["snapshot_at", "series", "value"]


def show(view: View) -> None:
    """Bias over time, leaning by coin, then why it changed."""
    with st.sidebar:
        axis = str(_pick("Axis", list(AXES), "axis", AXES_AID))
        names = view.ask(cohorts, axis)["cohort_name"].tolist()
        if not names:
            raise WarehouseError("no cohort is known yet", "run `htw poll segments`")
        chosen = st.multiselect(
            "Cohorts, lowest bound first", names, placeholder="all of this axis", key=f"cohorts_{axis}", bind="query-params"
        )
        dataset, recency = _pick_source(view)
    shown = [name for name in names if not chosen or name in chosen]
    st.caption(f"Axis: **{AXES[axis]}**. {AXES_AID}")
    _show_bias(view, (dataset, recency), axis, names, shown)
    left, right = st.columns(2, gap="large")
    with left:
        _show_leaning(view, axis, shown)
    with right:
        _show_flows(view, axis, shown)


def _pick(label: str, options: list[str], key: str, aid: str) -> str | None:
    return st.segmented_control(label, options, default=options[0], required=True, key=key, help=aid, bind="query-params")


def _pick_source(view: View) -> tuple[str, str]:
    found = view.ask(bias_sources, view.span)[["dataset", "recency"]].itertuples(index=False, name=None)
    series = {f"{dataset}, {_age_words(recency)}": (dataset, recency) for dataset, recency in found} or {"–": USUAL_SERIES}
    return series[st.selectbox("Series of bias", list(series), key="series", bind="query-params")]


def _age_words(recency: str) -> str:
    return "all positions" if recency == "all" else f"opened within {recency}"


def _show_bias(view: View, source: tuple[str, str], axis: str, names: list[str], shown: list[str]) -> None:
    readings = view.ask(bias, *source, axis, view.span)
    long = readings[readings["cohort"].isin(shown)].rename(columns={"cohort": "series", "exposure_bias": "value"})
    series = [(name, colour) for name, colour in zip(names, colours.COHORTS, strict=False) if name in shown]
    panel = Panel("Bias of the cohorts", source[0], remark=BIAS, is_series=True)
    show_chart(view, panel, long, lambda frame: lines_of(frame[DRAWN], series, RATIO, "exposure bias", height=320))


def _show_leaning(view: View, axis: str, shown: list[str]) -> None:
    cells = view.ask(coins_by_cohort, axis, view.span, COINS_SHOWN)
    remark = "Long share of each cohort's position value, in the newest sweep."
    panel = Panel(f"Leaning by coin, the {COINS_SHOWN} largest", "heatmap", remark=remark)
    show_chart(view, panel, cells[cells["cohort"].isin(shown)], leaning)


def _show_flows(view: View, axis: str, shown: list[str]) -> None:
    picked = st.selectbox("Changes in", [ALL_COINS, *view.ask(coins)["coin"]], key="flows_of", bind="query-params")
    coin = None if picked == ALL_COINS else picked
    changes = view.ask(flows, coin, axis, view.span)
    changes = changes[changes["cohort"].isin(shown)]
    show_chart(
        view,
        Panel("Trading against migration", "open_positions", coin, FLOWS, absent=NO_FLOWS),
        changes,
        lambda frame: reasons_by_cohort(frame, REASONS, shown),
    )
    if not changes.empty:
        st.caption(
            f"Sum of changes between {int(changes['snapshot_count'].max()) + 1} complete snapshots, "
            f"{changes['since_at'].min():%Y-%m-%d %H:%M} to {changes['snapshot_at'].max():%Y-%m-%d %H:%M} UTC; "
            "value of both sides."
        )
