"""Answers to queries as people and scripts read them: a table, CSV, JSON, Parquet.

Belongs here: how rows are written, to standard output or a file, and paged in a terminal. Does not: what is asked
(`reading_commands`), how it is answered (`warehouse.query`). Rows are written as they come, so that memory stays flat.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sys
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.table import Table

from orchestration.console import err, out

if TYPE_CHECKING:
    from warehouse.query import Answer

ROWS_SHOWN = 1_000
# A table that goes into a file or another program is as wide as it is.
UNBOUNDED_WIDTH = 100_000
LINES_AROUND = 5
# less: long lines cut and scrolled, no pager where one screen does.
PAGER_OPTIONS = "-SFX"


class Format(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def write_csv(answer: Answer, stream: TextIO, limit: int | None) -> int:
    """Header and rows: nulls are empty, times ISO in UTC, lists JSON. The number of rows."""
    writer, count = csv.writer(stream, lineterminator="\n"), 0
    writer.writerow(answer.columns)
    for row in islice(answer.rows, limit):
        writer.writerow([_as_text(value) for value in row])
        count += 1
    return count


def write_json(answer: Answer, stream: TextIO, limit: int | None) -> int:
    """One list of objects, an object a line; what JSON has no number for is null. The number of rows."""
    names, count = list(answer.columns), 0
    stream.write("[")
    for row in islice(answer.rows, limit):
        values = {name: _as_json(value) for name, value in zip(names, row, strict=True)}
        stream.write(("," if count else "") + "\n" + json.dumps(values, ensure_ascii=False))
        count += 1
    stream.write("\n]\n" if count else "]\n")
    return count


def show_table(answer: Answer, limit: int | None, is_paged: bool) -> None:
    """The rows up to the limit, and whether there were more; paged where a terminal is too small for them."""
    from orchestration.tables import rows_table

    most = ROWS_SHOWN if limit is None else limit
    rows = list(islice(answer.rows, most))
    is_cut = next(answer.rows, None) is not None
    if not answer.columns:
        return
    table, is_narrow = rows_table(answer.columns, rows), False
    if is_paged and sys.stdout.isatty() and _is_too_big(table, len(rows)):
        _page(table)
    elif sys.stdout.isatty():
        out.print(table)
        is_narrow = _width_of(table) > out.width
    else:
        _whole(table).print(table)
    if is_narrow:
        err.print("the window is too narrow for all columns: leave out --no-pager, name fewer, or take --format csv")
    if not rows:
        err.print("no rows")
    elif is_cut:
        err.print(f"the first {most:,} rows; more with --limit, all with --format csv, json or parquet")


@contextlib.contextmanager
def opened(target: Path | None) -> Iterator[TextIO]:
    """Where text goes: standard output, or a file that is in its place once it is whole."""
    from warehouse.query import written_aside

    if target is None:
        with _quiet_where_nobody_listens():
            yield sys.stdout
        return
    with written_aside(target.absolute()) as aside, aside.open("w", encoding="utf-8", newline="") as stream:
        yield stream


@contextlib.contextmanager
def _quiet_where_nobody_listens() -> Iterator[None]:
    """`htw query ... | head` ends when head has enough."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_too_big(table: Table, row_count: int) -> bool:
    return row_count + LINES_AROUND > out.height or _width_of(table) > out.width


def _width_of(table: Table) -> int:
    return out.measure(table, options=out.options.update(max_width=UNBOUNDED_WIDTH)).maximum


def _whole(table: Table) -> Console:
    """A console as wide as the table."""
    return Console(highlight=False, width=max(_width_of(table), 1), no_color=out.no_color)


def _page(table: Table) -> None:
    os.environ.setdefault("LESS", PAGER_OPTIONS)
    console = _whole(table)
    with console.pager():
        console.print(table)


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return json.dumps(_as_json(value), ensure_ascii=False) if isinstance(value, list | dict | tuple) else value


def _as_json(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | Decimal):
        return float(value) if isfinite(value) else None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    return value.hex() if isinstance(value, bytes) else str(value)
