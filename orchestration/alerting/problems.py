"""What is wrong now, in words a person understands, each with its cause and the command that mends it.

Belongs here: finding problems and wording them. Does not: the SQL (`warehouse.concerns`), failed runs (`failed_runs`), whom to
tell (`notices`). Looking changes nothing. What could not be looked at is no news: it is named, so that nobody calls it mended.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import dagster as dg
import duckdb

from orchestration.alerting.failed_runs import failed_runs
from orchestration.alerting.wording import counted, safe, secrets_of, span_words
from orchestration.hypertracker.errors import QuotaSpentError
from orchestration.pipeline import Pipeline
from warehouse.concerns import Expiring, Late, Quarantined, expiring_slots, late_datasets, quarantined
from warehouse.connection import WarehouseError, WarehouseLockedError, open_reader

READER_WAIT_S = 5.0
LEAST_FREE_FRACTION = 0.05
LEAST_FREE_BYTES = 1 << 30
LEDGER_KINDS = ("late", "expiring", "quarantined")
KINDS = ("run", *LEDGER_KINDS, "quota", "disk", "warehouse")
TIME = "%Y-%m-%d %H:%M"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `key` is `kind` or `kind:what`, and the same at every look; `since` is UTC."""

    key: str
    title: str
    cause: str
    command: str
    since: datetime

    @property
    def kind(self) -> str:
        return self.key.partition(":")[0]


@dataclass(frozen=True)
class Found:
    """The problems of one look, and the kinds that could not be looked at."""

    problems: tuple[Problem, ...]
    unseen: tuple[str, ...] = ()


def find_problems(pipeline: Pipeline, instance: dg.DagsterInstance | None) -> Found:
    """Everything that is wrong now; without an instance the runs are not looked at. No text holds a secret."""
    now = pipeline.clock.now()
    found = list(_disk(pipeline, now))
    unseen = [] if instance else ["run"]
    for run in failed_runs(instance, now) if instance else []:
        said = f"slot {run.slot}: {run.error}" if run.slot else run.error
        found.append(
            Problem(f"run:{run.job}", f"The job {run.job} failed", said, "`htw status`, then `htw doctor`", run.ended_at)
        )
    for look, kinds in ((_quota, ("quota",)), (_ledger, LEDGER_KINDS)):
        try:
            found += look(pipeline, now)
        except (WarehouseLockedError, sqlite3.Error, OSError):
            unseen += kinds
        except (WarehouseError, duckdb.Error) as error:
            found.append(_unreadable(error, now))
            unseen += kinds
    return Found(tuple(_safe(found, secrets_of(pipeline.settings))), tuple(unseen))


def _safe(problems: Iterable[Problem], secrets: list[str]) -> Iterator[Problem]:
    for problem in problems:
        title, cause, command = (safe(text, secrets) for text in (problem.title, problem.cause, problem.command))
        yield replace(problem, title=title, cause=cause, command=command)


def _disk(pipeline: Pipeline, now: datetime) -> Iterator[Problem]:
    folder = pipeline.settings.data_dir
    if not folder.exists():
        return
    usage = shutil.disk_usage(folder)
    if usage.free < min(LEAST_FREE_FRACTION * usage.total, LEAST_FREE_BYTES):
        says = f"{usage.free / (1 << 20):,.0f} MiB of {usage.total / (1 << 30):,.1f} GiB are free at HTW_DATA_DIR"
        yield Problem("disk", "The disk is nearly full", says, "free some space or move HTW_DATA_DIR, then `htw doctor`", now)


def _quota(pipeline: Pipeline, now: datetime) -> Iterator[Problem]:
    left = pipeline.budget().left()
    if left.closed_until is not None:
        says = f"{left.reason}; no request is sent until {left.closed_until:{TIME}} UTC"
        yield Problem(
            "quota", "The quota of requests is spent", says, f"`htw plan` shows what it affords; {QuotaSpentError.mend}", now
        )


def _ledger(pipeline: Pipeline, now: datetime) -> list[Problem]:
    file, names = pipeline.settings.warehouse_file, [dataset.name for dataset in pipeline.settings.wanted_datasets()]
    if not file.exists():
        return []
    with open_reader(file, READER_WAIT_S) as connection:
        late, expiring = late_datasets(connection, now, names), expiring_slots(connection, now, names)
        unread = quarantined(connection, now, names)
    return [*map(_late, late), *(_expiring(one, now) for one in expiring), *map(_quarantined, unread)]


def _late(late: Late) -> Problem:
    says = f"the slots {late.first:{TIME}} and {late.last:%H:%M} UTC brought nothing ({late.verdict}): {late.reason}"
    return Problem(f"late:{late.dataset}", f"{late.dataset} is late", says, late.mend or "`htw status`", late.first)


def _expiring(expiring: Expiring, now: datetime) -> Problem:
    says = (
        f"{counted(expiring.count, 'slot')} missing that the provider still has, the first for another "
        f"{span_words(expiring.first_lost_at - now)}; {counted(expiring.cost, 'request')} would fill all"
    )
    since = expiring.first_lost_at - timedelta(days=1)
    return Problem(f"expiring:{expiring.dataset}", f"{expiring.dataset} is about to lose history", says, "`htw heal`", since)


def _quarantined(found: Quarantined) -> Problem:
    title = f"{counted(found.count, 'payload')} of {found.dataset} could not be read"
    return Problem(f"quarantined:{found.dataset}", title, found.reason, found.mend or "`htw status`", found.since)


def _unreadable(error: Exception, now: datetime) -> Problem:
    """DuckDB's own errors name no mend."""
    mend = error.mend if isinstance(error, WarehouseError) else ""
    says = error.says if isinstance(error, WarehouseError) else str(error)
    return Problem("warehouse", "The warehouse file cannot be read", says, mend or "`htw doctor`", now)
