"""What of the ledger calls for somebody's attention: datasets that are late, slots about to be lost, payloads nobody could read.

Belongs here: asking coverage and ledger. Does not: words and commands for people (`orchestration.alerting.problems`), figures
for graphs (`figures`). All times are UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb

from warehouse.coverage import aware
from warehouse.ledger import naive

SLOTS_TO_BE_LATE = 2
A_DAY = timedelta(days=1)
# Per dataset: a slot's length, and how often the plan in force polls it at its most frequent.
PACES = """
    select paces.dataset, any_value(datasets.step_s), min(paces.interval_s)
    from ops.plan_paces as paces
    inner join ops.datasets as datasets on paces.dataset = datasets.dataset
    where
        paces.valid_from_at = (select max(valid_from_at) from ops.plans where valid_from_at <= $1)
        and paces.interval_s is not null
    group by paces.dataset
"""
# The newest slots that are over, of which not one scope has arrived.
LATE = """
    with newest as (
        select
            coverage.dataset, slot, verdict, reason, mend, has_arrived,
            dense_rank() over (partition by coverage.dataset order by slot desc) as age
        from ops.slot_coverage($1, $2) as coverage
        inner join ops.datasets as datasets on coverage.dataset = datasets.dataset
        where is_planned and list_contains($3, coverage.dataset) and slot + to_seconds(step_s) <= $2
    )

    select dataset, min(slot), max(slot), mode(verdict), mode(reason), mode(mend)
    from newest
    where age <= $4
    group by dataset
    having not bool_or(has_arrived) and count(distinct slot) = $4
"""
# How old a slot is when it is lost, by dataset; a slot belongs to the time since the one before.
SPANS = """
    select dataset, window_s - step_s from ops.datasets where window_s is not null
    union
    select dataset, reach_s from ops.past_sources where reach_s is not null
"""
EXPIRING = """
    select dataset, count(*), min(recoverable_until), cast(sum(cost_to_fix) as bigint)
    from ops.slot_coverage($1, $2)
    where is_missing and list_contains($3, dataset) and recoverable_until > $4 and recoverable_until <= $5
    group by dataset
"""
QUARANTINED = """
    select
        fetches.dataset, count(*), min(finished_at), arg_max(fetches.reason, finished_at), arg_max(fetches.mend, finished_at)
    from ops.fetches as fetches
    left join ops.quarantine as quarantine on fetches.fetch_id = quarantine.fetch_id
    where
        verdict = 'quarantined' and coalesce(status, 'held') = 'held'
        and finished_at > $1 and list_contains($2, fetches.dataset)
    group by fetches.dataset
"""


@dataclass(frozen=True)
class Late:
    """A dataset whose newest planned slots, from `first` to `last`, are over and brought nothing; commonest reason and mend."""

    dataset: str
    first: datetime
    last: datetime
    verdict: str
    reason: str
    mend: str


@dataclass(frozen=True)
class Expiring:
    """Scope-slots of a dataset that are missing, can still be had, and are lost from `first_lost_at` on; `cost` in requests."""

    dataset: str
    count: int
    first_lost_at: datetime
    cost: int


@dataclass(frozen=True)
class Quarantined:
    """Payloads of a dataset that were not read, with the newest reason and mend."""

    dataset: str
    count: int
    since: datetime
    reason: str
    mend: str


def late_datasets(connection: duckdb.DuckDBPyConnection, now: datetime, datasets: Sequence[str]) -> list[Late]:
    """The datasets whose two newest planned slots that are over have nothing; empty where no plan is in force."""
    found = []
    for span, names in _by_lookback(connection, now, datasets):
        values = [naive(now - span), naive(now), names, SLOTS_TO_BE_LATE]
        for name, first, last, *words in connection.execute(LATE, values).fetchall():
            found.append(Late(name, aware(first), aware(last), *words))
    return found


def expiring_slots(connection: duckdb.DuckDBPyConnection, now: datetime, datasets: Sequence[str]) -> list[Expiring]:
    """What can be had now, and is lost within a day if nobody asks for it."""
    found = []
    for span_s, names in _grouped(connection.execute(SPANS).fetchall(), datasets):
        since = now - timedelta(seconds=span_s)
        values = [naive(since), naive(since + A_DAY), names, naive(now), naive(now + A_DAY)]
        for name, count, lost_at, cost in connection.execute(EXPIRING, values).fetchall():
            found.append(Expiring(name, count, aware(lost_at), cost or 0))
    return found


def quarantined(connection: duckdb.DuckDBPyConnection, now: datetime, datasets: Sequence[str]) -> list[Quarantined]:
    """Payloads quarantined in the last day and held still: nobody mended or released them."""
    rows = connection.execute(QUARANTINED, [naive(now - A_DAY), list(datasets)]).fetchall()
    return [Quarantined(row[0], row[1], aware(row[2]), row[3], row[4]) for row in rows]


def _by_lookback(
    connection: duckdb.DuckDBPyConnection, now: datetime, datasets: Sequence[str]
) -> Iterator[tuple[timedelta, list[str]]]:
    """Datasets by how far back their two newest slots can lie: what is polled often is not looked for in the days before."""
    rows = connection.execute(PACES, [naive(now)]).fetchall()
    spans = [(name, step_s + max(step_s, interval_s) * SLOTS_TO_BE_LATE) for name, step_s, interval_s in rows]
    return ((timedelta(seconds=span_s), names) for span_s, names in _grouped(spans, datasets))


def _grouped(rows: Sequence[tuple[str, int]], datasets: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    wanted = [(name, figure) for name, figure in rows if name in set(datasets)]
    for figure in sorted({figure for _, figure in wanted}):
        yield figure, [name for name, own in wanted if own == figure]
