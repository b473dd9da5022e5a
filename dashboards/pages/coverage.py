"""The page Coverage: what arrived, what is missing and why, until when it can be had, what requests are left."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboards.charts.bars import by_day_and_part
from dashboards.charts.heat import slots
from dashboards.charts.units import COUNT, PERCENT, Unit
from dashboards.pages.panels import Panel, show_chart, show_table
from dashboards.pages.view import View
from dashboards.queries.coverage import cells, missing, requests, totals

MISSING = {
    "dataset": "dataset", "verdict": "verdict", "slot_count": "slots", "healable_count": "can be healed",
    "healable_until": "until (UTC)", "cost_to_fix": "for requests", "reason": "why", "mend": "what mends it",
    "first_slot": "first slot (UTC)", "last_slot": "last slot (UTC)", "scope_count": "scopes",
}  # fmt: skip
MISSING_UNITS: dict[str, Unit] = {"slot_count": COUNT, "scope_count": COUNT, "healable_count": COUNT, "cost_to_fix": COUNT}
MISSING_WIDTHS = {"reason": 340, "mend": 260, "healable_until": 130, "first_slot": 140, "last_slot": 140, "dataset": 190}


def show(view: View) -> None:
    """Tiles, the picture of slots, the list of what is missing, requests."""
    now = view.edition.published_at
    used = view.ask(requests, view.span)
    _show_tiles(view.ask(totals, view.span, now).iloc[0], used)
    st.caption(
        f"As of the publication, {now:%Y-%m-%d %H:%M} UTC. `htw heal` asks for what can be healed now; "
        "`htw status` says the same in a terminal."
    )
    panel = Panel("What arrived", remark="Slots that were due, by dataset and time; blank where none was. Hover for counts.")
    show_chart(view, panel, view.ask(cells, view.span, now), slots)
    show_table(
        view,
        Panel(
            "What is missing, and why",
            remark="What can be healed comes first, soonest lost before.",
            absent="Nothing is missing of what was due and planned",
        ),
        view.ask(missing, view.span, now),
        MISSING,
        MISSING_UNITS,
        MISSING_WIDTHS,
    )
    show_chart(
        view,
        Panel("Requests spent"),
        used,
        lambda frame: by_day_and_part(frame, "requests_spent", "dataset", COUNT, "requests"),
    )


def _show_tiles(total: pd.Series, used: pd.DataFrame) -> None:
    tiles = st.columns(5)
    due = int(total["due_count"])
    tiles[0].metric("Slots due", COUNT(due))
    tiles[1].metric("Arrived", PERCENT(total["arrived_count"] / due) if due else "–", help="Share of the slots that were due.")
    tiles[2].metric("Missing", COUNT(total["missing_count"]))
    tiles[3].metric(
        "Can be healed", COUNT(total["healable_count"]), help=f"For about {COUNT(total['cost_to_fix'])} requests: `htw heal`."
    )
    left, aid = _left(used)
    tiles[4].metric("Requests left, day", left, help=aid)


def _left(used: pd.DataFrame) -> tuple[str, str]:
    newest = used[used["day"] == used["day"].max()]
    budget = newest["requests_budget"].max()
    if newest.empty or pd.isna(budget):
        return "–", "No request was made yet, or the plan has no limit by the day."
    spent = int(newest["requests_spent"].sum())
    return COUNT(
        int(budget) - spent
    ), f"{spent:,} of the plan's {int(budget):,} were spent on {newest['day'].iloc[0]:%Y-%m-%d} (UTC)."
