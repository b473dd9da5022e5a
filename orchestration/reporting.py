"""What arrived and what is missing, read from the ledger for people and scripts.

Belongs here: gathering and laying out the status. Does not: which slots are missing (`planning.gaps`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from rich import box
from rich.table import Table

from orchestration.hypertracker.endpoint import NO_KNOWN_END, Dataset
from orchestration.planning.gaps import ARRIVED, NOT_THERE, Gap, SlotVerdict, best_verdict, find_gaps
from orchestration.planning.slots import slot_at, slots_between
from warehouse.connection import connect
from warehouse.ledger import naive

MOST_GAPS_SHOWN = 12
ABSENT_IS_FINE = SlotVerdict("empty", "the provider does not have it")
MOST_SCOPES_SHOWN = 6


@dataclass(frozen=True)
class DatasetStatus:
    """One dataset in a window: scope-slots due and arrived, requests spent, and the gaps."""

    dataset: str
    cadence: str
    scope_count: int
    due: int
    arrived: int
    requests_spent: int
    newest_snapshot_at: datetime | None
    gaps: tuple[Gap, ...]


def read_status(file: Path, datasets: Sequence[Dataset], since: datetime, now: datetime) -> list[DatasetStatus]:
    """The status of each dataset for slots from `since` (or its first fetch, if later) up to now (UTC)."""
    if not file.exists():
        return []
    connection = connect(file, read_only=True)
    try:
        return [_read_dataset(connection, dataset, since, now) for dataset in datasets]
    finally:
        connection.close()


def _read_dataset(connection: duckdb.DuckDBPyConnection, dataset: Dataset, since: datetime, now: datetime) -> DatasetStatus:
    rows = connection.execute(
        """select scope, slot, verdict, reason, mend, requests_spent from ops.fetches
           where dataset = ? and slot >= ? order by finished_at, fetch_id""",
        [dataset.name, naive(since)],
    ).fetchall()
    fetches: dict[tuple[str, datetime], list[SlotVerdict]] = {}
    for scope, slot, verdict, reason, mend, _ in rows:
        fetches.setdefault((scope, slot.replace(tzinfo=UTC)), []).append(SlotVerdict(verdict, reason, mend))
    verdicts = {key: best_verdict(found) for key, found in fetches.items()}
    scopes = sorted({scope for scope, _ in verdicts if scope or not dataset.scoped_by})
    verdicts = _spread(verdicts, scopes)
    first = min((slot for _, slot in verdicts), default=now)
    window = (max(first, since), slot_at(dataset.cadence, now) + timedelta(microseconds=1))
    due = len(scopes) * len(list(slots_between(dataset.cadence, *window)))
    # What the provider may not have at all is not missed.
    verdicts = {key: ABSENT_IS_FINE if dataset.is_optional and v.verdict == "absent" else v for key, v in verdicts.items()}
    arrived = sum(verdict.verdict in ARRIVED for (scope, _), verdict in verdicts.items() if scope in scopes)
    gaps = tuple(find_gaps(dataset.name, dataset.cadence, scopes, window, verdicts, dataset.recoverable_until))
    return DatasetStatus(
        dataset.name, dataset.cadence.label.replace("_", " "), len(scopes), due, arrived, sum(row[5] for row in rows),
        _newest(connection, dataset.name), gaps,
    )  # fmt: skip


def _spread(verdicts: dict[tuple[str, datetime], SlotVerdict], scopes: Sequence[str]) -> dict[tuple[str, datetime], SlotVerdict]:
    """A file of the whole exchange that arrived fills its slot for every scope."""
    whole = {slot: verdict for (scope, slot), verdict in verdicts.items() if not scope and verdict.verdict in ARRIVED}
    filled = {(scope, slot): verdict for slot, verdict in whole.items() for scope in scopes}
    own = {key: verdict for key, verdict in verdicts.items() if key[0] in scopes}
    return {**filled, **{key: verdict for key, verdict in own.items() if key not in filled or verdict.verdict in ARRIVED}}


def _newest(connection: duckdb.DuckDBPyConnection, dataset: str) -> datetime | None:
    row = connection.execute("select max(newest_at) from ops.fetches where dataset = ?", [dataset]).fetchone()
    return row[0].replace(tzinfo=UTC) if row and row[0] else None


def status_table(statuses: Sequence[DatasetStatus]) -> Table:
    """One row a dataset."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, justify in (
        ("dataset", "left"), ("every", "left"), ("scopes", "right"), ("due", "right"), ("arrived", "right"),
        ("missing", "right"), ("requests", "right"), ("newest data (UTC)", "left"),
    ):  # fmt: skip
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for status in statuses:
        missing = status.due - status.arrived
        newest = f"{status.newest_snapshot_at:%Y-%m-%d %H:%M}" if status.newest_snapshot_at else "-"
        table.add_row(
            status.dataset, status.cadence, str(status.scope_count), str(status.due), str(status.arrived),
            f"[bold red]{missing}[/]" if missing else "0", str(status.requests_spent), newest,
        )  # fmt: skip
    return table


def gap_lines(statuses: Sequence[DatasetStatus], most: int = MOST_GAPS_SHOWN) -> list[str]:
    """A line a reason: which slots of which datasets, why, and until when they can be healed."""
    grouped: dict[tuple[str, str], list[Gap]] = {}
    for status in statuses:
        for gap in status.gaps:
            grouped.setdefault((gap.verdict, gap.reason), []).append(gap)
    lines = [_reason_line(gaps) for gaps in grouped.values()]
    more = len(lines) - most
    return lines[:most] + ([f"... and {more} more reasons: `htw status --json`"] if more > 0 else [])


def status_json(statuses: Sequence[DatasetStatus]) -> list[dict[str, Any]]:
    """The same as values for scripts."""
    return [asdict(status) for status in statuses]


def _reason_line(gaps: Sequence[Gap]) -> str:
    first, last = min(gap.first for gap in gaps), max(gap.last for gap in gaps)
    when = f"{first:%Y-%m-%d %H:%M}" + (f" to {last:%H:%M}" if last != first else "")
    counts: dict[str, int] = {}
    scopes: dict[str, None] = {}
    for gap in gaps:
        counts[gap.dataset] = counts.get(gap.dataset, 0) + gap.slot_count
        scopes[gap.scope or "market"] = None
    where = ", ".join(f"{dataset} {count}" for dataset, count in counts.items())
    names = ", ".join(list(scopes)[:MOST_SCOPES_SHOWN]) + (" ..." if len(scopes) > MOST_SCOPES_SHOWN else "")
    return f"{gaps[0].verdict}, {when} [{names}]: {gaps[0].reason}. Slots: {where}; {_healing(gaps)}"


def _healing(gaps: Sequence[Gap]) -> str:
    until = [gap.recoverable_until for gap in gaps if gap.recoverable_until]
    if gaps[0].verdict == NOT_THERE:
        return gaps[0].mend or "nothing to heal"
    if not until:
        return "cannot be healed: the provider serves the present only"
    rest = "" if len(until) == len(gaps) else ", the rest cannot"
    last = "with no known end" if max(until) == NO_KNOWN_END else f"until {max(until):%Y-%m-%d %H:%M}"
    return f"{len(until)} of {len(gaps)} gaps can be asked for again {last} (`htw poll DATASET --slot T`){rest}"
