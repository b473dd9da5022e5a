"""What arrived and what is missing, for people and scripts: read from coverage, put in words and figures.

Belongs here: the status of each dataset, its reasons and its table. Does not: which slots are missing (`warehouse.coverage`),
the picture of it (`strips`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from rich import box
from rich.table import Table

from orchestration.hypertracker.endpoint import NO_KNOWN_END, Dataset
from orchestration.strips import cells_between, marks
from warehouse.connection import WarehouseError, open_reader
from warehouse.coverage import CoverageRead, Gap, Tally, aware, read_coverage
from warehouse.ledger import naive

if TYPE_CHECKING:
    from orchestration.budget import Left

NOT_THERE = "absent"
MOST_GAPS_SHOWN = 12
MOST_SCOPES_SHOWN = 6
READER_WAIT_S = 30.0
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class DatasetStatus:
    """One dataset in a window: scope-slots due (planned, or asked for) and arrived, requests spent, the gaps, and tallies by cell
    of time, each under the instant at which it begins."""

    dataset: str
    cadence: str
    scope_count: int
    due: int
    arrived: int
    requests_spent: int
    newest_snapshot_at: datetime | None
    gaps: tuple[Gap, ...]
    cells: dict[datetime, Tally] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        return self.due - self.arrived


def read_status(
    file: Path,
    datasets: Sequence[Dataset],
    since: datetime,
    until: datetime,
    cell: timedelta = HOUR,
    now: datetime | None = None,
) -> list[DatasetStatus]:
    """The status of each dataset for slots of the half-open window (UTC): those that were over at its end, or asked for.

    `now` tells what can still be healed, by default the end of the window. Raises `WarehouseError`.
    """
    if not file.exists():
        return []
    with open_reader(file, READER_WAIT_S) as connection:
        try:
            read = read_coverage(connection, since, until, cell, now or until)
        except duckdb.CatalogException as error:
            raise WarehouseError(f"{file} was made by an earlier version", "run `htw rebuild`") from error
        return [_status(connection, dataset, read, (since, until)) for dataset in datasets]


def _status(
    connection: duckdb.DuckDBPyConnection, dataset: Dataset, read: CoverageRead, window: tuple[datetime, datetime]
) -> DatasetStatus:
    cells = dict(sorted(read.cells.get(dataset.name, {}).items()))
    row = connection.execute(
        """select coalesce(sum(requests_spent) filter (slot >= $2 and slot < $3), 0), max(newest_at)
           from ops.fetches where dataset = $1""",
        [dataset.name, naive(window[0]), naive(window[1])],
    ).fetchone()
    requests, newest = row or (0, None)
    return DatasetStatus(
        dataset.name, dataset.cadence.label.replace("_", " "), read.scope_counts.get(dataset.name, 0),
        sum(tally.due for tally in cells.values()), sum(tally.arrived for tally in cells.values()), int(requests),
        aware(newest) if newest else None, tuple(gap for gap in read.gaps if gap.dataset == dataset.name), cells,
    )  # fmt: skip


def status_table(statuses: Sequence[DatasetStatus]) -> Table:
    """One row a dataset."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, justify in (
        ("dataset", "left"), ("every", "left"), ("scopes", "right"), ("due", "right"), ("arrived", "right"),
        ("missing", "right"), ("requests", "right"), ("newest data (UTC)", "left"),
    ):  # fmt: skip
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for status in statuses:
        missing = status.missing
        newest = f"{status.newest_snapshot_at:%Y-%m-%d %H:%M}" if status.newest_snapshot_at else "-"
        table.add_row(
            status.dataset, status.cadence, str(status.scope_count), str(status.due), str(status.arrived),
            f"[bold red]{missing}[/]" if missing else "0", str(status.requests_spent), newest,
        )  # fmt: skip
    return table


def gap_lines(statuses: Sequence[DatasetStatus], now: datetime, most: int = MOST_GAPS_SHOWN) -> list[str]:
    """A line a reason: which slots of which datasets, why, what healing them costs and until when it can be done."""
    grouped: dict[tuple[str, str], list[Gap]] = {}
    for status in statuses:
        for gap in status.gaps:
            grouped.setdefault((gap.verdict, gap.reason), []).append(gap)
    lines = [_reason_line(gaps, now) for gaps in grouped.values()]
    more = len(lines) - most
    return lines[:most] + ([f"... and {more} more reasons: `htw status --json`"] if more > 0 else [])


def budget_line(left: Left) -> str:
    """What the quota still holds."""
    if left.closed_until is not None:
        return f"No requests until {left.closed_until:%Y-%m-%d %H:%M} UTC: {left.reason}"
    rests = {"today": left.today, "this month": left.this_month, "this minute": left.this_minute}
    parts = [f"{rest:,} {name}" for name, rest in rests.items() if rest is not None]
    return f"Requests left: {', '.join(parts) or 'no limit is known'}"


def status_json(
    statuses: Sequence[DatasetStatus], window: tuple[datetime, datetime] | None = None, cell: timedelta = HOUR
) -> list[dict[str, Any]]:
    """The same as values for scripts; with the window, the strip of cells from its beginning to its end."""
    begins = cells_between(*window, cell) if window else []
    return [{**_plain(status), **({"strip": _strip(status, begins, cell)} if window else {})} for status in statuses]


def _plain(status: DatasetStatus) -> dict[str, Any]:
    values = asdict(status)
    del values["cells"]
    return values | {"missing": status.missing}


def _strip(status: DatasetStatus, begins: Sequence[datetime], cell: timedelta) -> dict[str, Any]:
    found = [{"begins_at": at, **asdict(status.cells.get(at, Tally()))} for at in begins]
    for values, mark in zip(found, marks(status, begins), strict=True):
        values["state"] = mark.name.lower()
    return {"cell_s": int(cell.total_seconds()), "cells": found}


def _reason_line(gaps: Sequence[Gap], now: datetime) -> str:
    first, last = min(gap.first for gap in gaps), max(gap.last for gap in gaps)
    form = "%H:%M" if first.date() == last.date() else "%Y-%m-%d %H:%M"
    when = f"{first:%Y-%m-%d %H:%M}" + (f" to {last:{form}}" if last != first else "")
    counts: dict[str, int] = {}
    for gap in gaps:
        counts[gap.dataset] = counts.get(gap.dataset, 0) + gap.slot_count
    scopes = list(dict.fromkeys(gap.scope or "market" for gap in gaps))
    where = ", ".join(f"{dataset} {count:,}" for dataset, count in counts.items())
    names = ", ".join(scopes[:MOST_SCOPES_SHOWN]) + (" ..." if len(scopes) > MOST_SCOPES_SHOWN else "")
    return f"{gaps[0].verdict}, {when} [{names}]: {gaps[0].reason}. Slots: {where}; {'; '.join(_healing(gaps, now))}"


def _healing(gaps: Sequence[Gap], now: datetime) -> Iterator[str]:
    """What can be had again, what it costs, until when; and what mends the rest."""
    healable = [gap for gap in gaps if gap.recoverable_until and gap.recoverable_until > now]
    total, count = sum(gap.slot_count for gap in gaps), sum(gap.slot_count for gap in healable)
    if gaps[0].verdict == NOT_THERE:
        yield gaps[0].mend or "nothing to heal"
        return
    if not healable:
        yield f"lost; {gaps[0].mend}" if gaps[0].mend and "htw heal" not in gaps[0].mend else "lost: nothing brings them again"
        return
    soonest = min(gap.recoverable_until for gap in healable if gap.recoverable_until)
    until = "with no known end" if soonest == NO_KNOWN_END else f"the first until {soonest.astimezone(UTC):%Y-%m-%d %H:%M}"
    cost = sum(gap.cost_to_fix or 0 for gap in healable)
    yield f"{count:,} of {total:,} can be healed for about {cost:,} requests, {until}: `htw heal`"
    if count < total:
        yield f"{total - count:,} are lost"
