"""What may be wrong, looked at one by one; each finding says the command that mends it.

Belongs here: checks that only look. Does not: what crashes leave behind, and mending it (`repairing`).
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import duckdb

from orchestration.affording import affordable
from orchestration.affording_report import percent_words
from orchestration.budget import Budget
from orchestration.clock import Clock
from orchestration.findings import Finding
from orchestration.hypertracker.client import Client
from orchestration.hypertracker.errors import HyperTrackerError, QuotaSpentError
from orchestration.landing_report import landing_words
from orchestration.modelling import BuildError, prepare_manifest
from orchestration.repairing import look_around
from orchestration.settings import Settings
from warehouse.connection import NETWORK_DISK_MEND, WarehouseError, moved_aside, open_reader
from warehouse.fetches import Part
from warehouse.lake_locks import is_made
from warehouse.lake_upkeep import require_readable, state_of
from warehouse.network_disks import network_type

MOST_SKEW = timedelta(seconds=30)
LEAST_FREE_BYTES = 2 << 30
LOCK_WAIT_S = 2.0
UNWRITABLE_MEND = "make HTW_DATA_DIR writable, or free some space on its disk"
PACKAGES = ("dagster", "dbt-core", "dbt-duckdb", "duckdb", "httpx", "pandas")


def examine(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Every finding, in the order a request travels. Costs one request."""
    budget = Budget(settings.budget_file, settings.plan_limits(), clock)
    if settings.wanted_datasets():
        yield from _api(settings, clock, budget)
    else:
        yield Finding("token and API", True, "not needed: HTW_DATASETS is none, and nothing is polled here")
    yield _plan(settings)
    yield _budget(settings, budget)
    yield _disk(settings.data_dir)
    yield _working_file(settings.warehouse_file)
    yield from look_around(settings)
    if settings.is_dagster_in_postgres:
        yield _dagster_storage(settings)
    yield _published(settings.published_file)
    yield _guarded("lake", lambda: _lake(settings))
    if settings.landing.is_shared:
        yield _guarded("raw rows", lambda: landing_words(settings))
    yield _guarded("dbt project", lambda: _models())
    yield Finding("versions", True, f"Python {sys.version.split()[0]}, " + ", ".join(f"{p} {version(p)}" for p in PACKAGES))


def _api(settings: Settings, clock: Clock, budget: Budget) -> Iterator[Finding]:
    async def ask() -> timedelta | None:
        async with Client[Part](settings.access(), turns=budget) as client:
            server_time = await client.server_time()
            return None if server_time is None else abs(server_time - clock.now())

    try:
        skew = asyncio.run(ask())
    except HyperTrackerError as error:
        yield Finding("token and API", False, f"{settings.api_url}: {error}", error.mend)
        return
    except (OSError, sqlite3.Error) as error:
        yield Finding("token and API", False, f"nothing is asked without {settings.budget_file}: {error}", UNWRITABLE_MEND)
        return
    yield Finding("token and API", True, f"{settings.api_url} accepts the token")
    if skew is None:
        yield Finding("clock", True, "the API does not say its time")
    elif skew > MOST_SKEW:
        yield Finding("clock", False, f"{skew.total_seconds():.0f} s apart from the API's", "synchronise this clock (NTP)")
    else:
        yield Finding("clock", True, f"{skew.total_seconds():.1f} s apart from the API's")


def _plan(settings: Settings) -> Finding:
    found = affordable(settings)
    plan, reserve = found.quota.plan, percent_words(found.wishes.reserve_fraction)
    says = f"the settings ask for {found.full.day:,} requests a day, plan {plan.name} has {plan.per_day:,} ({reserve} in reserve)"
    mend = "" if found.quota.is_whole else "`htw plan` shows what it affords; lower HTW_COINS or HTW_DATASETS, or raise HTW_PLAN"
    return Finding("plan", not mend, says, mend)


def _budget(settings: Settings, budget: Budget) -> Finding:
    try:
        left, plan = budget.left(), settings.plan_limits()
    except (OSError, sqlite3.Error) as error:
        return Finding("budget", False, f"{settings.budget_file}: {error}", UNWRITABLE_MEND)
    shares = ((left.today, plan.per_day, "today"), (left.this_month, plan.per_month, "this month"))
    says = " and ".join(
        f"{count:,} of {most:,} requests are left {when} (UTC)" for count, most, when in shares if count is not None
    )
    if left.closed_until is None:
        return Finding("budget", True, says)
    return Finding(
        "budget", False, f"{says}; none is sent until {left.closed_until:%Y-%m-%d %H:%M} UTC: {left.reason}", QuotaSpentError.mend
    )


def _disk(folder: Path) -> Finding:
    folder.mkdir(parents=True, exist_ok=True)
    if kind := network_type(folder):
        return Finding("disk", False, f"{folder} lies on a network disk ({kind})", NETWORK_DISK_MEND)
    free = shutil.disk_usage(folder).free
    mend = "free some space or move HTW_DATA_DIR" if free < LEAST_FREE_BYTES else ""
    return Finding("disk", not mend, f"{free / (1 << 30):.1f} GiB free at {folder}", mend)


def _working_file(file: Path) -> Finding:
    if not file.exists() and not moved_aside(file):
        return Finding("working file", True, "not there yet; the first `htw poll` makes it")
    return _guarded("working file", lambda: _counts(file))


def _counts(file: Path) -> str:
    with open_reader(file, LOCK_WAIT_S) as connection:
        row = connection.execute("select count(*), coalesce(max(load_seq), 0) from ops.payloads").fetchone()
    return f"{row[0]:,} payloads loaded, nobody holds it" if row else ""


def _published(file: Path) -> Finding:
    if not file.exists():
        return Finding("published copy", False, "not there yet", "run `htw poll`")
    return _guarded("published copy", lambda: _edition(file))


def _edition(file: Path) -> str:
    with duckdb.connect(str(file.resolve()), read_only=True) as published:
        row = published.execute("select published_at from main.edition").fetchone()
    return f"{file}, of {row[0]:%Y-%m-%d %H:%M:%S} UTC" if row else str(file)


def _dagster_storage(settings: Settings) -> Finding:
    # SQLAlchemy takes a while to load.
    from orchestration.dagster_storage import StorageUnreachableError, postgres_address, require_reachable

    try:
        require_reachable(settings)
    except StorageUnreachableError as error:
        return Finding("Dagster's storage", False, error.says, error.mend)
    return Finding("Dagster's storage", True, f"{postgres_address(settings)} answers")


def _lake(settings: Settings) -> str:
    """A shared lake is tried as far as its store: a file of it is opened, if there is any."""
    lake = settings.lake
    if not is_made(lake):
        return f"not there yet at {lake.catalog}; the first publish makes it"
    state = state_of(lake)
    if lake.is_shared:
        require_readable(lake)
    told = f", {len(state.publishers)} publishers" if state.publishers else ""
    return f"{lake.catalog} answers, {state.file_count:,} files at {lake.data}{told}; last written {state.newest_snapshot_at}"


def _models() -> str:
    manifest = prepare_manifest()
    return f"{sum(node['resource_type'] == 'model' for node in manifest['nodes'].values())} models parse"


def _guarded(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, look())
    except BuildError as error:
        return Finding(subject, False, str(error), "mend the model it names, then run `htw doctor`")
    except WarehouseError as error:
        return Finding(subject, False, error.says, error.mend or "run `htw rebuild`")
    except duckdb.Error as error:
        return Finding(subject, False, str(error), "run `htw rebuild`")
