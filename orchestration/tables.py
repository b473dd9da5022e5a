"""Frames and rows as tables in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from math import isnan
from typing import TYPE_CHECKING, Any

from rich import box
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT",
           "FLOAT", "DOUBLE", "DECIMAL", "BIGNUM")  # fmt: skip


def frame_table(frame: pd.DataFrame, title: str | None = None) -> Table:
    """A frame as a terminal table: numbers right-aligned with thousands separators, nulls as a dot, times to the second."""
    import pandas as pd

    types = {str(name): "DOUBLE" if pd.api.types.is_numeric_dtype(frame[name]) else "VARCHAR" for name in frame.columns}
    rows = frame.astype(object).where(frame.notna(), None)
    return rows_table(types, rows.to_numpy().tolist(), title)


def rows_table(types: Mapping[str, str], rows: Iterable[Sequence[Any]], title: str | None = None) -> Table:
    """The same of rows as DuckDB gives them, with its types by column."""
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    for name, kind in types.items():
        table.add_column(escape(name), justify="right" if kind.startswith(NUMBERS) else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(escape(_cell(value)) for value in row))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "."
    if isinstance(value, float | Decimal):
        number = float(value)
        return "." if isnan(number) else f"{number:,.0f}" if abs(number) >= 1000 else f"{number:,.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)
