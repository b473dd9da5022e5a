"""Coverage: the slot grid of the plans held against the ledger, as the table macro `ops.slot_coverage(since, until)`.

Belongs here: making the macro and reading it. Does not: what it says (`slot_coverage.sql`, beside this), the plans (`plans`),
laying it out (`orchestration.reporting`). Mart, status and healing all ask the macro, so that they cannot differ.

One row per dataset, scope and slot with `since <= slot < until`: every slot of every wished scope that was over at `until`, and
every one that was asked for. What was fetched after `until` counts as well: it is known now. Times are UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from warehouse.ledger import naive

SQL_FILE = Path(__file__).with_name("slot_coverage.sql")


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
    return [MissingSlot(*row[:2], aware(row[2]), *row[3:6], aware(row[6]) if row[6] else None, row[7]) for row in rows]


def aware(moment: datetime) -> datetime:
    """DuckDB's TIMESTAMP as a UTC instant."""
    return moment.replace(tzinfo=UTC)
