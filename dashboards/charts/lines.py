"""Lines over time. A line breaks where readings are missing, because what nobody saw is not drawn.

Belongs here: series by snapshot. Does not: bars (`bars`), grids of cells (`heat`).
"""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd

from dashboards.charts.units import Unit

HEIGHT = 260
# Between two readings this many times as far apart as usual lies a gap.
GAP = 3
POINTS_WHEN_FEWER = 60
TIME = "snapshot_at"
# Midnight bears the day, every other tick the hour; ticks of whole months bear the month.
CLOCK = "utchours(datum.value) || utcminutes(datum.value) ? utcFormat(datum.value, '%H:%M') : utcFormat(datum.value, '%d %b')"


def lines(
    frame: pd.DataFrame, series: Mapping[str, tuple[str, str]], unit: Unit, title: str, is_regular: bool = True
) -> alt.LayerChart:
    """A line for each column of `series`, given as column: (label, colour), over `snapshot_at`.

    Readings that are not `is_regular` have no gaps, since nothing says when the next was to come.
    """
    labels = {column: label for column, (label, _) in series.items()}
    long = frame[[TIME, *series]].rename(columns=labels).melt(TIME, var_name="series", value_name="value")
    return lines_of(long, list(series.values()), unit, title, is_regular=is_regular)


def lines_of(
    long: pd.DataFrame,
    series: list[tuple[str, str]],
    unit: Unit,
    title: str,
    height: int = HEIGHT,
    is_regular: bool = True,
) -> alt.LayerChart:
    """The same of a frame with columns snapshot_at, series and value; `series` gives labels and colours in order."""
    known = long.dropna(subset=["value"])
    rows = in_utc(_broken_at_gaps(known) if is_regular else known.assign(stretch=0))
    base = alt.Chart(rows, height=height).encode(
        x=time_axis(),
        y=alt.Y("value:Q", scale=alt.Scale(zero=False), axis=value_axis(unit, title)),
        color=alt.Color("series:N", scale=named_colours(dict(series)), legend=legend(columns=4) if len(series) > 1 else None),
    )
    has_points = len(rows) < POINTS_WHEN_FEWER * len(series)
    line = base.mark_line(strokeWidth=2, point={"size": 18} if has_points else False).encode(detail="stretch:N")
    return line + _hover(base, unit)


def named_colours(colours: Mapping[str, str]) -> alt.Scale:
    """A scale of labels and their colours, in order."""
    return alt.Scale(domain=list(colours), range=list(colours.values()))


def legend(columns: int | None = None) -> alt.Legend:
    """A legend above the chart, without a title: the labels speak."""
    return alt.Legend(title=None, orient="top", columns=columns or alt.Undefined)


def time_axis(column: str = TIME, title: str | None = "time (UTC)") -> alt.X:
    """Time as UTC wherever the browser is."""
    axis = alt.Axis(title=title, labelExpr=CLOCK, labelOverlap=True, tickCount=8, grid=False)
    return alt.X(f"{column}:T", scale=alt.Scale(type="utc"), axis=axis)


def time_words(column: str, title: str) -> alt.Tooltip:
    """A time in UTC under the pointer."""
    return alt.Tooltip(f"utcyearmonthdatehoursminutesseconds({column}):T", title=title, format="%Y-%m-%d %H:%M:%S")


def value_axis(unit: Unit, title: str, grid: bool = True) -> alt.Axis:
    """An axis in a unit, named with it."""
    named = title if unit.title == "ratio" else f"{title} ({unit.title})"
    return alt.Axis(title=named, labelExpr=unit.written("datum.value"), tickCount=5, grid=grid, titleAnchor="middle")


def in_utc(frame: pd.DataFrame) -> pd.DataFrame:
    """Times with their zone, so that the browser does not take them for its own."""
    times = frame.select_dtypes("datetime").columns
    return frame.assign(**{column: frame[column].dt.tz_localize("UTC") for column in times})


def _hover(base: alt.Chart, unit: Unit) -> alt.Chart:
    """A reading under the pointer, in words."""
    near = alt.selection_point(
        name="near", on="pointerover", nearest=True, fields=[TIME, "series"], empty=False, clear="pointerout"
    )
    shown = base.transform_calculate(shown=unit.written("datum.value"))
    # `alt.condition` builds the same by way of all schemas of Vega-Lite, which takes longer than the rest of the chart.
    is_near = {"param": "near", "empty": False, "value": 1}
    return (
        shown.mark_point(size=60, filled=True)
        .encode(
            opacity=alt.OpacityValue(0, condition=is_near),
            tooltip=[
                alt.Tooltip("series:N", title=" "),
                alt.Tooltip("shown:N", title="value"),
                time_words(TIME, "seen (UTC)"),
            ],
        )
        .add_params(near)
    )


def _broken_at_gaps(long: pd.DataFrame) -> pd.DataFrame:
    """With a column `stretch` that counts up at every gap of a series."""
    rows = long.sort_values(["series", TIME], kind="stable").reset_index(drop=True)
    step = rows.groupby("series", sort=False)[TIME].diff()
    usual = step.groupby(rows["series"]).transform("median")
    return rows.assign(stretch=(step > usual * GAP).groupby(rows["series"]).cumsum())
