"""One simulated month: settings and a seed in, a warehouse with its ledger and the provider's count out.

Belongs here: putting the parts together and letting the month pass. Does not: the parts; reading the result (`figures`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestration.affording import assumed_coins
from orchestration.budget import Budget
from orchestration.collecting import ALL_AT_ONCE
from orchestration.hypertracker.datasets import DATASETS
from orchestration.pipeline import CHUNK_MINUTES
from orchestration.plan_in_force import live_demand
from orchestration.planning.slots import Cadence, slots_between
from orchestration.settings import Settings, load_offline_settings
from orchestration.simulation.agenda import Agenda, Task
from orchestration.simulation.asking import Asker, Purpose
from orchestration.simulation.chronicle import Chronicle
from orchestration.simulation.mending import Missing
from orchestration.simulation.provider import Provider
from orchestration.simulation.sweeps import Sweeps
from orchestration.simulation.timetable import Timetable
from orchestration.simulation.weather import Weather
from warehouse.plans import PlanBook

# The longest kind of month, after the floors and ceilings of every way to ask for the past.
START, END = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
# At this instant some coins change their rank, and one is replaced by another.
RANKS_CHANGE_AT = datetime(2026, 5, 12, tzinfo=UTC)
LARGEST_ORDER_COUNT = 20_000
HEALS_AFTER, HEALS_EVERY = timedelta(minutes=7), timedelta(minutes=15)


@dataclass(frozen=True)
class Month:
    """How a month ended: what was spent by purpose, the provider's own count, and the warehouse to ask for the rest."""

    settings: Settings
    warehouse: Path
    weather: Weather
    provider: Provider
    spent: dict[Purpose, int]
    spared_count: int
    start: datetime
    end: datetime


def simulate(folder: Path, plan: str, coins: str, seed: int, end: datetime = END) -> Month:
    """Let a month pass, or the part of it until `end`, below an empty folder."""
    settings = load_offline_settings(plan=plan, coins=coins, datasets="all", freshness="", reserve=0.1, data_dir=folder)
    weather = Weather.drawn(seed, START, END)
    book, limits = PlanBook(folder / "vault"), settings.plan_limits()
    timetable, missing = Timetable(settings, book, universe), Missing(order_counts())
    agenda, chronicle = Agenda(START, weather.is_away), Chronicle(missing.note)
    provider = Provider(limits, weather, seed)
    budget = Budget(folder / "budget.sqlite", limits, agenda.clock, live_demand(timetable.plan(START)))
    asker = Asker(agenda, budget, limits, provider, weather, chronicle, seed)
    chunk = CHUNK_MINUTES * limits.per_minute or ALL_AT_ONCE
    sweeps = Sweeps(agenda, asker, timetable, missing, weather, chronicle, chunk)
    for cadence in Cadence:
        agenda.add(START, _expected(cadence, agenda, timetable, missing, end))
        agenda.add(START, _swept(cadence, agenda, sweeps, end))
    agenda.add(START, _healed(agenda, sweeps, end))
    agenda.run(end)
    chronicle.write(folder / "warehouse.duckdb", book)
    return Month(settings, folder / "warehouse.duckdb", weather, provider, dict(asker.spent), sweeps.spared_count, START, end)


def universe(moment: datetime) -> Sequence[str]:
    """The listed coins at an instant, largest open value first."""
    coins = assumed_coins()
    if moment >= RANKS_CHANGE_AT:
        coins[17], coins[23] = coins[23], coins[17]
        coins[-1] = "coin new"
    return coins


def order_counts() -> dict[tuple[str, str], int]:
    """Open orders by coin: fewer, the smaller the coin is."""
    ranked = enumerate(assumed_coins(), start=1)
    return {("order_snapshots", coin): LARGEST_ORDER_COUNT // rank for rank, coin in ranked}


def _expected(cadence: Cadence, agenda: Agenda, timetable: Timetable, missing: Missing, end: datetime) -> Task:
    """Tell at each slot what is due, and at its end that it is over."""
    datasets = [dataset for dataset in DATASETS if dataset.cadence is cadence]
    before: datetime | None = None
    for slot in slots_between(cadence, START, end):
        yield slot
        for dataset in datasets:
            if before is not None:
                missing.close(dataset, before, agenda.now)
            missing.expect(dataset, timetable.due(dataset, slot), slot)
        before = slot


def _swept(cadence: Cadence, agenda: Agenda, sweeps: Sweeps, end: datetime) -> Task:
    for slot in slots_between(cadence, START, end):
        yield slot
        agenda.add(agenda.now, sweeps.live(cadence, slot), is_daemon=True)


def _healed(agenda: Agenda, sweeps: Sweeps, end: datetime) -> Task:
    for moment in _moments(START + HEALS_AFTER, end):
        yield moment
        agenda.add(agenda.now, sweeps.heal(), is_daemon=True)


def _moments(first: datetime, end: datetime) -> Iterator[datetime]:
    while first < end:
        yield first
        first += HEALS_EVERY
