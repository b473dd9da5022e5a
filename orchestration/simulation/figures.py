"""What a simulated month came to, read from its warehouse as users read it, and from the provider's own count.

Belongs here: counting verdicts of `ops.slot_coverage`. Does not: their words for people (`page`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import duckdb

from orchestration.collecting import urgency_of
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.planning.plans import Plan
from orchestration.planning.urgency import Urgency
from orchestration.simulation.asking import Purpose, Why
from orchestration.simulation.month import Month
from warehouse.coverage import aware
from warehouse.ledger import naive

# A sweep is over by then; what goes wrong later does not touch it.
SWEEP_TAKES = timedelta(hours=2)
READ_SQL = """
    create or replace temp table coverage as
    select
        dataset, scope, slot, verdict, reason, has_arrived, is_planned, attempts, known_at,
        coalesce(recoverable_until > $2, false) as is_healable
    from ops.slot_coverage($1, $2)
"""
TOTALS_SQL = """
    select
        count(*), count(distinct (dataset, scope, slot)), count(verdict), count(*) filter (is_planned),
        count(*) filter (is_planned and has_arrived),
        count(*) filter (is_planned and has_arrived and known_at >= slot + to_seconds(step_s)),
        count(*) filter (verdict = 'not_planned')
    from coverage inner join ops.datasets using (dataset)
"""
MISSING_SQL = """
    select dataset, slot, verdict, reason, is_healable, count(*) from coverage
    where is_planned and not has_arrived group by all order by all
"""
SLOTS_SQL = """
    select dataset, slot, count(*), count(*) filter (has_arrived) from coverage
    where is_planned group by all order by all
"""


class Loss(StrEnum):
    """Why a planned slot is lost."""

    DOWN = "provider down"
    AWAY = "daemon away"
    REFUSED = "refused at every attempt"
    MOVED = "state moved twice in its sweep"
    NO_TIME = "not reached in time"
    NO_QUOTA = "not affordable"
    UNEXPLAINED = "anything else"


LOSSES: Mapping[str, Loss] = {
    Why.DOWN: Loss.DOWN,
    Why.REFUSED: Loss.REFUSED,
    Why.MOVED: Loss.MOVED,
    Why.NO_TIME: Loss.NO_TIME,
    Why.NO_QUOTA: Loss.NO_QUOTA,
}


@dataclass(frozen=True)
class Figures:
    """One month. Slots are (dataset, scope, slot)s; `rows`, `keys` and `verdicts` of the coverage are equal where each slot has
    one verdict. `clear_*` are perishable slots in whose window nothing was wrong."""

    plan: Plan
    coins: str
    spent: Mapping[Purpose, int]
    counted: int
    counted_in_ledger: int
    busiest_day: int
    worst_minute: int
    over_plan: int
    spared: int
    rows: int
    keys: int
    verdicts: int
    planned: int
    arrived: int
    healed: int
    not_planned: int
    healable: int
    lost: Mapping[Loss, int]
    clear_planned: int
    clear_arrived: int


def figures_of(month: Month) -> Figures:
    """Ask the warehouse of a month."""
    with duckdb.connect(str(month.warehouse)) as connection:
        connection.execute("set enable_progress_bar = false")
        connection.execute(READ_SQL, [naive(month.start), naive(month.end)])
        rows, keys, verdicts, planned, arrived, healed, not_planned = _row(connection, TOTALS_SQL)
        in_ledger = _row(connection, "select coalesce(sum(requests_spent), 0) from ops.fetches")[0]
        healable, lost = _lost(connection, month)
        clear = _clear(connection, month)
    provider = month.provider
    return Figures(
        month.settings.plan_limits(), month.settings.coins, month.spent, sum(provider.by_day.values()), int(in_ledger),
        max(provider.by_day.values(), default=0), provider.worst_minute, provider.over_plan, month.spared_count,
        rows, keys, verdicts, planned, arrived, healed, not_planned, healable, lost, *clear,
    )  # fmt: skip


def _row(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[int, ...]:
    row = connection.execute(sql).fetchone()
    assert row is not None, "an aggregate always has a row"
    return row


def _lost(connection: duckdb.DuckDBPyConnection, month: Month) -> tuple[int, dict[Loss, int]]:
    """Planned slots that are missing at the end: those that can still be had, and the others by reason."""
    healable, lost = 0, Counter[Loss]()
    for dataset, slot, verdict, reason, is_healable, count in connection.execute(MISSING_SQL).fetchall():
        if is_healable:
            healable += count
            continue
        window = aware(slot), aware(slot) + BY_NAME[dataset].cadence.step
        is_explained = verdict == "missed" and month.weather.is_away_within(*window)
        lost[Loss.AWAY if is_explained else LOSSES.get(reason, Loss.UNEXPLAINED)] += count
    return healable, dict(lost)


def _clear(connection: duckdb.DuckDBPyConnection, month: Month) -> tuple[int, int]:
    """Planned perishable slots in whose window the daemon was up and the provider answered, and how many of them arrived."""
    planned = arrived = 0
    for dataset, slot, count, arrived_count in connection.execute(SLOTS_SQL).fetchall():
        start, step = aware(slot), BY_NAME[dataset].cadence.step
        is_perishable = urgency_of(BY_NAME[dataset]) is Urgency.PERISHABLE
        if is_perishable and month.weather.is_clear(start, start + min(step, SWEEP_TAKES)):
            planned, arrived = planned + count, arrived + arrived_count
    return planned, arrived
