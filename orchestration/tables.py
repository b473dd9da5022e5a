"""Frames as tables in a terminal."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.table import Table


def frame_table(frame: pd.DataFrame, title: str | None = None) -> Table:
    """A frame as a terminal table: numbers right-aligned with thousands separators, nulls as a dot, times to the second."""
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    for name in frame.columns:
        table.add_column(str(name), justify="right" if pd.api.types.is_numeric_dtype(frame[name]) else "left", no_wrap=True)
    for row in frame.itertuples(index=False):
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: object) -> str:
    if value is None or (not isinstance(value, (list, dict)) and pd.isna(value)):  # type: ignore[call-overload]
        return "."
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)
