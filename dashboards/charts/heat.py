"""Grids of cells: leaning by coin and cohort, liquidations by time and price, how slots ended.

Belongs here: what is coloured by value. Does not: lines, bars.
"""

from __future__ import annotations

import altair as alt
import pandas as pd

from dashboards.charts import colours
from dashboards.charts.lines import HEIGHT, in_utc, time_axis, time_words, value_axis
from dashboards.charts.units import PERCENT, PRICE, USD


def leaning(frame: pd.DataFrame) -> alt.LayerChart:
    """Long share of each coin and cohort, short to long; the share stands in the cell."""
    coins, cohorts = list(dict.fromkeys(frame["coin"])), list(dict.fromkeys(frame["cohort"]))
    base = (
        alt.Chart(in_utc(frame), height=alt.Step(24))
        .transform_calculate(share=PERCENT.written("datum.long_fraction"), value=USD.written("datum.gross_value_usd"))
        .encode(
            x=alt.X(
                "cohort:N",
                sort=cohorts,
                axis=alt.Axis(title=None, orient="top", labelAngle=-30, labelLimit=140, labelOverlap=False),
            ),
            y=alt.Y("coin:N", sort=coins, axis=alt.Axis(title=None, labelLimit=140, labelOverlap=False)),
        )
    )
    cells = base.mark_rect(stroke="white").encode(
        color=alt.Color(
            "long_fraction:Q",
            scale=alt.Scale(domain=[0, 0.25, 0.5, 0.75, 1], range=list(colours.LEANING), interpolate="rgb"),
            legend=alt.Legend(title="long share of value", orient="bottom", format=".0%", gradientLength=220, titleLimit=200),
        ),
        tooltip=[
            "coin:N", "cohort:N", alt.Tooltip("share:N", title="long share"), alt.Tooltip("value:N", title="value, both sides"),
            alt.Tooltip("position_count:Q", title="positions", format=","),
        ],
    )  # fmt: skip
    is_strong = {"test": "abs(datum.long_fraction - 0.5) > 0.35", "value": "white"}
    text = base.mark_text(fontSize=11).encode(
        text=alt.Text("long_fraction:Q", format=".0%"), color=alt.ColorValue(colours.INK, condition=is_strong)
    )
    return cells + text


def liquidations_over_time(frame: pd.DataFrame, price: pd.DataFrame) -> alt.LayerChart:
    """Value to liquidate by time and price, with the price through it."""
    cells = (
        alt.Chart(in_utc(frame), height=HEIGHT + 60)
        .transform_calculate(shown=USD.written("datum.liquidation_value_usd"))
        .mark_rect()
        .encode(
            x=time_axis(),
            x2="until_at:T",
            y=alt.Y("price_from:Q", scale=alt.Scale(zero=False, nice=False), axis=value_axis(PRICE, "price", grid=False)),
            y2="price_to:Q",
            color=alt.Color(
                "liquidation_value_usd:Q",
                scale=alt.Scale(type="sqrt", range=list(colours.HEAT)),
                legend=alt.Legend(title="to liquidate", orient="right", labelExpr=USD.written("datum.value")),
            ),
            tooltip=[
                alt.Tooltip("shown:N", title="to liquidate"), alt.Tooltip("price_from:Q", format=",.5~r"),
                alt.Tooltip("price_to:Q", format=",.5~r"),
                time_words("snapshot_at", "seen (UTC)"),
            ],
        )
    )  # fmt: skip
    line = alt.Chart(in_utc(price)).mark_line(color="#111827", strokeWidth=1.5, point={"size": 12, "color": "#111827"})
    return cells + line.encode(x=time_axis(), y="mid_price:Q")


def slots(frame: pd.DataFrame) -> alt.Chart:
    """How the slots of each dataset ended, stretch by stretch."""
    return (
        alt.Chart(in_utc(frame), height=alt.Step(19))
        .mark_rect(stroke="white", strokeWidth=0.6)
        .encode(
            x=time_axis("since_at", title="slot (UTC)"),
            x2="until_at:T",
            y=alt.Y("dataset:N", sort="ascending", axis=alt.Axis(title=None, labelLimit=220, labelOverlap=False)),
            color=alt.Color(
                "state:N",
                scale=alt.Scale(domain=list(colours.STATES), range=list(colours.STATES.values())),
                legend=alt.Legend(title=None, orient="top"),
            ),
            tooltip=[
                "dataset:N", "state:N", alt.Tooltip("arrived_count:Q", title="arrived", format=","),
                alt.Tooltip("missing_count:Q", title="missing", format=","),
                alt.Tooltip("healable_count:Q", title="can be healed", format=","),
                time_words("since_at", "from (UTC)"),
            ],
        )
    )  # fmt: skip
