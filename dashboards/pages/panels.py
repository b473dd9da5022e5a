"""Panels: a chart or a table under its title, with what it rests on and a download, or words where there is nothing.

Belongs here: what all pages lay out alike. Does not: which panels a page has.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import altair as alt
import pandas as pd
import streamlit as st

from dashboards.charts.units import NONE, Unit, has_moved
from dashboards.pages.view import View

ROW_PX, HEAD_PX, MOST_ROWS = 35, 37, 20
SIXTY = 60

Drawn = alt.Chart | alt.LayerChart


@dataclass(frozen=True)
class Panel:
    """What stands around a figure: its title, the dataset it rests on (none for all), the coin where it is of one, a remark for
    those who want to know more. A series has one reading a step of the span, and says so. `absent` is said where there is nothing
    although all that was due arrived, which needs no mending."""

    title: str
    dataset: str = ""
    coin: str | None = None
    remark: str = ""
    is_series: bool = False
    absent: str = ""


def show_chart(view: View, panel: Panel, frame: pd.DataFrame, draw: Callable[[pd.DataFrame], Drawn]) -> None:
    """A chart of the frame, or why there is none."""
    _head(panel, frame)
    if frame.empty:
        _show_nothing(view, panel)
        return
    st.altair_chart(draw(frame), width="stretch")
    _foot(view, panel, frame)


def show_table(
    view: View,
    panel: Panel,
    frame: pd.DataFrame,
    names: Mapping[str, str],
    units: Mapping[str, Unit],
    widths: Mapping[str, int] | None = None,
) -> None:
    """The columns of `names` under those names, in their units; sorted by value, whatever is written. The download has all.

    `widths` are pixels, of columns that would be too wide or too narrow.
    """
    _head(panel, frame)
    if frame.empty:
        _show_nothing(view, panel)
        return
    shown = frame[list(names)].rename(columns=dict(names))
    formats: dict[Hashable, Any] = {names[column]: unit for column, unit in units.items()}
    written = shown.style.format(formats, na_rep=NONE)
    columns = {names[column]: st.column_config.Column(width=pixels) for column, pixels in (widths or {}).items()}
    height = HEAD_PX + ROW_PX * min(len(frame), MOST_ROWS)
    st.dataframe(written, hide_index=True, width="stretch", height=height, placeholder=NONE, column_config=columns)
    _foot(view, panel, frame)


def show_tile(label: str, unit: Unit, values: pd.Series, change: Unit | None = None, aid: str = "") -> None:
    """The last of the values, and its change since the first."""
    known = values.dropna()
    if known.empty:
        st.metric(label, NONE, help=aid or None)
        return
    first, last = float(known.iloc[0]), float(known.iloc[-1])
    moved = (last / first - 1 if change.title == "%" and unit.title != "%" else last - first) if change and first else None
    words = change(moved) if change and moved is not None else None
    arrow: Literal["auto", "off"] = "auto" if words and has_moved(words) else "off"
    st.metric(label, unit(last), words, delta_color="off", delta_arrow=arrow, help=aid or None)


def _head(panel: Panel, frame: pd.DataFrame) -> None:
    head = st.container(horizontal=True, vertical_alignment="center")
    head.markdown(f"##### {panel.title}", help=panel.remark or None, width="stretch")
    if frame.empty:
        return
    head.download_button(
        "CSV",
        lambda: frame.to_csv(index=False).encode(),
        file_name=f"{_slug(panel.title)}{'-' + _slug(panel.coin) if panel.coin else ''}.csv",
        mime="text/csv",
        key=f"csv {panel.title}",
        on_click="ignore",
        type="tertiary",
        icon=":material/download:",
    )


def _foot(view: View, panel: Panel, frame: pd.DataFrame) -> None:
    words = [f"newest {frame['snapshot_at'].max():%Y-%m-%d %H:%M:%S} UTC"] if "snapshot_at" in frame else []
    words += [f"{view.arrivals(panel.dataset, panel.coin)} in this range"]
    words += [f"last reading of each {_step_words(view.span.step)}"] if panel.is_series else []
    st.caption(" · ".join(words))


def _step_words(step: timedelta) -> str:
    minutes = int(step.total_seconds()) // SIXTY
    return f"{minutes} min" if minutes < SIXTY else f"{minutes // SIXTY} h"


def _show_nothing(view: View, panel: Panel) -> None:
    arrivals = view.arrivals(panel.dataset, panel.coin)
    if panel.absent and view.is_whole(panel.dataset, panel.coin):
        st.success(f"{panel.absent} ({arrivals}).")
        return
    whose = f" of {panel.coin}" if panel.coin else ""
    fill = f"htw poll {panel.dataset}".rstrip()
    st.info(
        f"Nothing{whose} from {view.span.since:%Y-%m-%d %H:%M} to {view.span.until:%Y-%m-%d %H:%M} UTC "
        f"({arrivals}). Choose a longer range, or fill it: `{fill}`; "
        "`htw plan` says whether your plan polls it."
    )


def _slug(text: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in text.lower()).strip("-")
