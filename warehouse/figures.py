"""Figures of the ledger for graphs: how old the data is, how slots ended, what fetching took.

Belongs here: asking coverage and ledger for numbers. Does not: their names and formats (`orchestration.metrics`), what calls
for attention (`concerns`). All times are UTC. A fetch counts for the dataset that it fills.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb

from warehouse.coverage import aware
from warehouse.ledger import naive

A_DAY = timedelta(days=1)
QUANTILES = (0.5, 0.9, 0.99)
NEWEST = "select dataset, max(coalesce(newest_at, slot)) from ops.fetches where verdict = 'loaded' group by dataset"
SLOTS = """
    select
        dataset, verdict, count(*) as slots, count(*) filter (is_missing) as missing,
        count(*) filter (is_missing and coalesce(recoverable_until > $2, false)) as recoverable
    from ops.slot_coverage($1, $2) group by dataset, verdict order by all
"""
FETCHED = """
    select
        dataset,
        count(*) as fetches,
        cast(sum(requests_spent) as bigint) as requests,
        cast(coalesce(sum(byte_count), 0) as bigint) as bytes,
        cast(coalesce(sum(byte_count) filter (finished_at > $1), 0) as bigint) as bytes_last_day,
        coalesce(sum(epoch(finished_at - started_at)), 0) as seconds,
        quantile_cont(epoch(finished_at - started_at), $2) filter (finished_at > $1) as quantiles
    from ops.fetches where started_at is not null group by dataset order by dataset
"""


@dataclass(frozen=True)
class SlotFigures:
    """Scope-slots of a dataset that ended with a verdict, those that are missing, and those of them that can still be had."""

    dataset: str
    verdict: str
    slots: int
    missing: int
    recoverable: int


@dataclass(frozen=True)
class FetchFigures:
    """What fetching a dataset took since the ledger began; `bytes_last_day` and `quantiles` (seconds) of the last day."""

    dataset: str
    fetches: int
    requests: int
    bytes: int
    bytes_last_day: int
    seconds: float
    quantiles: tuple[float, ...]


@dataclass(frozen=True)
class LedgerFigures:
    """All of them as read at one moment; `newest` is the time of the newest data by dataset."""

    newest: dict[str, datetime]
    slots: tuple[SlotFigures, ...]
    fetched: tuple[FetchFigures, ...]


def read_figures(connection: duckdb.DuckDBPyConnection, now: datetime) -> LedgerFigures:
    """The figures at a moment; slots are those of the last day that are over."""
    newest = {name: aware(at) for name, at in connection.execute(NEWEST).fetchall()}
    slots = connection.execute(SLOTS, [naive(now - A_DAY), naive(now)]).fetchall()
    fetched = connection.execute(FETCHED, [naive(now - A_DAY), list(QUANTILES)]).fetchall()
    return LedgerFigures(newest, tuple(SlotFigures(*row) for row in slots), tuple(map(_fetched, fetched)))


def _fetched(row: tuple[Any, ...]) -> FetchFigures:
    return FetchFigures(*(*row[:6], tuple(row[6] or ())))
