"""Coverage: the slot grid of the plans held against the ledger, as the table macro `ops.slot_coverage(since, until)`.

Belongs here: making the macro and reading it. Does not: what it says (`slot_coverage.sql`, beside this), the plans (`plans`),
laying it out (`orchestration.reporting`). Mart, status and healing all ask the macro, so that they cannot differ.

One row per dataset, scope and slot with `since <= slot < until`: every slot of every wished scope that was over at `until`, and
every one that was asked for. What was fetched after `until` counts as well: it is known now. Times are UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from warehouse.ledger import naive

SQL_FILE = Path(__file__).with_name("slot_coverage.sql")
CELLS_SQL = """
    select
        dataset,
        time_bucket($1, slot, timestamp '1970-01-01 00:00:00') as begins_at,
        count(*) filter (is_planned or attempts > 0),
        count(*) filter ((is_planned or attempts > 0) and has_arrived),
        count(*) filter (is_missing and coalesce(recoverable_until > $2, false)),
        count(*) filter (is_missing and not coalesce(recoverable_until > $2, false)),
        count(*) filter (verdict = 'not_planned')
    from coverage_read
    group by dataset, begins_at
    order by dataset, begins_at
"""
GAPS_SQL = """
    with due as (
        select
            *,
            row_number() over (partition by dataset, scope order by slot)
            - row_number() over (
                partition by dataset, scope, is_missing, verdict, reason, recoverable_until is null order by slot
            ) as island
        from coverage_read
        where is_planned or attempts > 0
    )

    select
        dataset, scope, min(slot) as first, max(slot), count(*), verdict, reason, any_value(mend), min(recoverable_until),
        cast(sum(cost_to_fix) as bigint)
    from due
    where is_missing
    group by dataset, scope, verdict, reason, recoverable_until is null, island
    order by first, dataset, scope
"""


@dataclass(frozen=True)
class MissingSlot:
    """One slot that was planned or asked for and has not arrived.

    `recoverable_until` (UTC, may be over) is None where nothing brings it any more, and so is `cost_to_fix`, in requests.
    """

    dataset: str
    scope: str
    slot: datetime
    verdict: str
    reason: str
    mend: str
    recoverable_until: datetime | None
    cost_to_fix: int | None


@dataclass(frozen=True)
class Gap:
    """Slots of one dataset and scope that are missing for one and the same reason, with none that arrived between them.

    `first` and `last` are slots, both included (UTC). `recoverable_until` is that of the slot which expires first (UTC, may be
    over), None where nothing brings them; `cost_to_fix` is in requests, for all of them.
    """

    dataset: str
    scope: str
    first: datetime
    last: datetime
    slot_count: int
    verdict: str
    reason: str
    mend: str
    recoverable_until: datetime | None
    cost_to_fix: int | None


@dataclass(frozen=True)
class Tally:
    """Scope-slots of one dataset in a stretch of time: `due` were planned or asked for, `arrived` are those of them that did,
    `healable` and `lost` are missing; `idle` were not planned."""

    due: int = 0
    arrived: int = 0
    healable: int = 0
    lost: int = 0
    idle: int = 0


@dataclass(frozen=True)
class CoverageRead:
    """Coverage of a half-open window (UTC) as read at one moment: gaps, tallies by dataset and cell, scopes by dataset.

    A cell is named by the instant at which it begins.
    """

    gaps: tuple[Gap, ...]
    cells: dict[str, dict[datetime, Tally]]
    scope_counts: dict[str, int]


def create_coverage(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the macro; the ledger, the registry and the plans are there as tables already. May be called again."""
    connection.execute(f"create or replace macro ops.slot_coverage(since, until) as table {SQL_FILE.read_text('utf-8')}")


def missing_slots(
    connection: duckdb.DuckDBPyConnection, since: datetime, until: datetime, datasets: Sequence[str]
) -> list[MissingSlot]:
    """What of the datasets is missing in the half-open window, by dataset, scope and slot."""
    rows = connection.execute(
        """select dataset, scope, slot, verdict, reason, mend, recoverable_until, cost_to_fix
           from ops.slot_coverage(?, ?) where is_missing and list_contains(?, dataset) order by dataset, scope, slot""",
        [naive(since), naive(until), list(datasets)],
    ).fetchall()
    return [MissingSlot(row[0], row[1], aware(row[2]), row[3], row[4], row[5], _aware_or_none(row[6]), row[7]) for row in rows]


def read_coverage(
    connection: duckdb.DuckDBPyConnection, since: datetime, until: datetime, cell: timedelta, now: datetime
) -> CoverageRead:
    """The window in cells from the epoch on, which may be read from a read-only connection; `now` decides what is lost."""
    connection.execute("create or replace temp table coverage_read as from ops.slot_coverage(?, ?)", [naive(since), naive(until)])
    cells: dict[str, dict[datetime, Tally]] = {}
    for dataset, begins_at, *counts in connection.execute(CELLS_SQL, [cell, naive(now)]).fetchall():
        cells.setdefault(dataset, {})[aware(begins_at)] = Tally(*counts)
    scopes = connection.execute("select dataset, count(distinct scope) from coverage_read group by dataset").fetchall()
    gaps = tuple(_gap(row) for row in connection.execute(GAPS_SQL).fetchall())
    return CoverageRead(gaps, cells, dict(scopes))


def _gap(row: tuple[Any, ...]) -> Gap:
    return Gap(row[0], row[1], aware(row[2]), aware(row[3]), row[4], row[5], row[6], row[7], _aware_or_none(row[8]), row[9])


def aware(moment: datetime) -> datetime:
    """DuckDB's TIMESTAMP as a UTC instant."""
    return moment.replace(tzinfo=UTC)


def _aware_or_none(moment: datetime | None) -> datetime | None:
    return None if moment is None else aware(moment)
