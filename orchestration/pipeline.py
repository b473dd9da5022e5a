"""The pipeline as verbs over one data folder: poll, load, take, build, publish. Dagster and the command line both use it.

Belongs here: wiring settings, client, vault, warehouse and dbt together. Does not: any of their work, making the working file
again (`rebuilding`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import duckdb

from orchestration import modelling
from orchestration.affording import assumed_coins
from orchestration.budget import Budget
from orchestration.clock import Clock, SystemClock
from orchestration.collecting import ALL_AT_ONCE, Ask, Sweep, listed_coins
from orchestration.division import Landing, left_out
from orchestration.hypertracker.client import Client
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.hypertracker.endpoint import Dataset
from orchestration.landing import land_all
from orchestration.pausing import Pauses, pauses
from orchestration.plan_in_force import live_demand, make_plan, plan_in_force, scopes_due, scopes_wished
from orchestration.planning.slots import slot_at
from orchestration.planning.urgency import Demand, Urgency
from orchestration.raw_keeping import Sources
from orchestration.registering import prepare, raw_tables
from orchestration.settings import Settings
from warehouse.connection import (
    REBUILD_MEND,
    WarehouseError,
    is_damage,
    moved_aside,
    open_reader,
    open_writer,
)
from warehouse.coverage import MissingSlot, missing_slots
from warehouse.fetches import FetchRecord, Part
from warehouse.lake import LakeError
from warehouse.lake_publish import publish_lake
from warehouse.lake_sending import send
from warehouse.lake_taking import Taken, take, was_taken
from warehouse.ledger import Judgement, Verdict, held_states, loaded_scopes
from warehouse.marts import Mart
from warehouse.plans import PlanBook, PlanRecord, write_plans
from warehouse.publish import Published, draft_of, forget_origin, publish_file
from warehouse.publisher import publisher_of
from warehouse.repair import read_whole, tidy
from warehouse.retention import Readers
from warehouse.vault import Vault

LOGGER = logging.getLogger("hypertracker")
HELD_LOOKBACK = timedelta(days=2)
SWEEP_PATIENCE = timedelta(minutes=15)
HELD_WAIT_S = 10.0
# A state lasts a quarter of an hour: what is asked for in two minutes seldom sees it move.
CHUNK_MINUTES = 2
Progress = Callable[[FetchRecord], None]


@dataclass(frozen=True)
class Outcome:
    """One fetch and what became of it."""

    record: FetchRecord
    judgement: Judgement


def is_answered(outcome: Outcome) -> bool:
    """Whether a fetch brought what the provider had to say; that it does not have an optional dataset says enough."""
    verdict = outcome.judgement.verdict
    return verdict.arrived or (verdict is Verdict.ABSENT and BY_NAME[outcome.record.dataset].is_optional)


class Pipeline:
    """Everything below one `HTW_DATA_DIR`. Cheap to make; opens nothing until a verb is called."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.vault = Vault(settings.vault_dir)
        self.plans = PlanBook(settings.vault_dir)
        self.sources = Sources(self.vault, settings.lake if self.takes else None)

    def poll(
        self,
        datasets: Sequence[Dataset],
        slot: datetime,
        on_record: Progress | None = None,
        beyond_plan: bool = False,
        only_waiting: bool = False,
    ) -> list[Outcome]:
        """Ask for the scopes of the datasets that the plan polls at a slot (UTC), keep the bytes, load them.

        `beyond_plan` asks for every scope that is wished for, paused or not, `only_waiting` leaves out what was loaded at this
        slot already, be it of an earlier state: the plan affords one answer a slot. State readings are among the outcomes.
        Nothing is held locked while waiting for the network.
        """

        async def collect(client: Client[Part]) -> list[FetchRecord]:
            first = await self._learn_coins(client, on_record)
            plan = self.plan()
            chosen = scopes_wished if beyond_plan else scopes_due
            asks = [Ask.of(dataset, scope, slot) for dataset in datasets for scope in chosen(plan, dataset, slot)]
            there = self._loaded_scopes(slot) if only_waiting else set()
            waiting = [ask for ask in asks if (ask.dataset.name, ask.scope) not in there]
            paused = {} if beyond_plan else self.paused()
            return first + await self._sweep(client, on_record, paused=paused).run(waiting)

        return self._asked(collect)

    def ask(self, asks: Sequence[Ask], on_record: Progress | None = None) -> list[Outcome]:
        """Ask for what is missing, out of what live polls leave of the quota, keep the bytes, load them.

        What the quota no longer holds is not asked, and leaves no trace.
        """

        async def collect(client: Client[Part]) -> list[FetchRecord]:
            return await self._sweep(client, on_record, Urgency.BACKFILL).run(asks)

        return self._asked(collect)

    def paused(self) -> Pauses:
        """What is not asked now, because the provider refused it; nothing where the warehouse cannot be read now."""
        if not self.settings.warehouse_file.exists():
            return {}
        with contextlib.suppress(WarehouseError), open_reader(self.settings.warehouse_file, HELD_WAIT_S) as connection:
            return pauses(connection, self.clock.now())
        return {}

    def budget(self) -> Budget:
        """The ledger of requests that all processes of the folder share."""
        plan = self.plans.newest()
        demand = live_demand(plan) if plan else Demand()
        return Budget(self.settings.budget_file, self.settings.plan_limits(), self.clock, demand)

    def left_for_backfill(self) -> int | None:
        """Requests that live polls leave, now, of today's and this month's quota; None without a quota."""
        return self.budget().spendable(Urgency.BACKFILL)

    def plan(self) -> PlanRecord:
        """The plan in force, made where there is none or the last no longer holds."""
        self.vault.create()
        return plan_in_force(self.settings, self.plans, listed_coins(self.vault), self.clock.now())

    def listed_coins(self) -> list[str]:
        """Every coin of the newest list of coins, largest open value first; empty where there is none yet."""
        return listed_coins(self.vault) if self.settings.vault_dir.exists() else []

    def probable_plan(self) -> PlanRecord:
        """The plan that the next sweep would follow, as far as the coins are known. Keeps nothing."""
        return make_plan(self.settings, self.listed_coins() or assumed_coins(), self.clock.now())

    def planned_intervals(self) -> dict[str, timedelta]:
        """How often each dataset is polled for its most frequent scopes, where it is polled at all. Keeps nothing."""
        plan = self.probable_plan()
        polled = {pace.dataset: min(plan.intervals(pace.dataset).values(), default=0) for pace in plan.paces}
        return {dataset: timedelta(seconds=seconds) for dataset, seconds in polled.items() if seconds}

    def load(self, records: Sequence[FetchRecord] = ()) -> list[Outcome]:
        """Land fetches in raw and ledger, together with any that an interrupted run left in the vault."""
        tidy(self.vault)
        self._refuse_to_begin_anew()
        known = {record.fetch_id for record in records}
        left = [record for record in self.vault.pending() if record.fetch_id not in known and not self._is_being_made(record)]
        with open_writer(self.settings.warehouse_file) as connection:
            self.prepare(connection)
            landed = [Outcome(*outcome) for outcome in land_all(connection, self.vault, [*left, *records])]
        self.vault.forget_pending(outcome.record.fetch_id for outcome in landed)
        return landed

    def _refuse_to_begin_anew(self) -> None:
        """A working file that holds pending fetches only would be published as if it were all there is."""
        file = self.settings.warehouse_file
        if not file.exists() and not moved_aside(file) and self.vault.has_history():
            raise WarehouseError(f"{file} is not there, but the vault has fetches that were in it", REBUILD_MEND)

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make what an open working file lacks of tables, and tell it of the plans; may be called again."""
        prepare(connection)
        write_plans(connection, self.plans)

    def missing(self, datasets: Sequence[Dataset], since: datetime) -> list[MissingSlot]:
        """What of these datasets was due since an instant (UTC), is over, and has not arrived."""
        if not self.settings.warehouse_file.exists():
            return []
        with open_reader(self.settings.warehouse_file) as connection:
            return missing_slots(connection, since, self.clock.now(), [dataset.name for dataset in datasets])

    def build(self, select: Sequence[str] = (), full_refresh: bool = False) -> list[modelling.NodeResult]:
        """One dbt build of what `select` names (by default all models that are built here), with what other machines sent by now
        and the raw rows that it needs back.

        Raises `BuildError` only when dbt could not run.
        """
        file, target_dir = self.settings.warehouse_file, self.settings.data_dir / "dbt"
        self.take_sent()
        put_back, left_out = self.sources.bring_back, self.left_out()
        results = modelling.build(file, target_dir, select, full_refresh, put_back, left_out)
        if any(result.failed and is_damage(result.message) for result in results):
            with open_writer(file) as connection:
                read_whole(connection)
        elif full_refresh:
            with open_writer(file) as connection:
                forget_origin(connection)
        return results

    def take_sent(self) -> Taken:
        """Where this machine models for others: what they sent to the shared lake, into the working file. What cannot be had now
        comes the next time.

        Raises `LakeError` where the file has never had all of it: what is made of a part would replace what is published.
        """
        if not self.takes:
            return Taken()
        with open_writer(self.settings.warehouse_file) as connection:
            self.prepare(connection)
            try:
                return self.take_into(connection)
            except LakeError as error:
                if not was_taken(connection):
                    raise
                LOGGER.warning("%s; the next build takes what other machines sent", error)
                return Taken()

    @property
    def takes(self) -> bool:
        """Whether this machine models what others send."""
        return self.settings.landing is Landing.TAKE

    def take_into(self, connection: duckdb.DuckDBPyConnection) -> Taken:
        """All that other machines sent, into an open working file. Raises `LakeError`."""
        return take(connection, self.settings.lake, raw_tables(), publisher_of(self.settings.vault_dir))

    def left_out(self) -> frozenset[str]:
        """The models that this machine leaves to others."""
        return left_out(modelling.prepare_manifest(), self.settings.landing) if self.settings.landing.is_shared else frozenset()

    def raw_readers(self) -> Readers:
        """The tables that are made here of each dataset's raw rows."""
        return modelling.raw_readers(modelling.prepare_manifest(), self.left_out())

    def publish(self, anew: bool = False) -> Published:
        """Publish the marts as they are, to the lake and as a file; the caller has seen the build and its tests succeed.

        A lake that cannot be written leaves the file whole, without a hot window; a file that cannot be written raises, after
        the lake was.
        """
        manifest = modelling.prepare_manifest()
        marts, models = modelling.described_marts(manifest, self.left_out()), modelling.fingerprint_of(manifest)
        folder, draft = self.settings.published_dir, None if anew else draft_of(self.settings.published_dir)
        with open_writer(self.settings.warehouse_file) as connection:
            changes, problem = self._publish_lake(connection, marts, models)
            hot_days = None if problem else self.settings.hot_days
            published = publish_file(connection, folder, marts, self.clock.now(), models, anew, hot_days, draft)
        return replace(published, lake_changes=changes, lake_problem=problem)

    def _publish_lake(
        self, connection: duckdb.DuckDBPyConnection, marts: Sequence[Mart], models: str
    ) -> tuple[Mapping[str, int] | None, str]:
        try:
            lake, publisher = self.settings.lake, publisher_of(self.settings.vault_dir)
            if self.settings.landing is Landing.SEND:
                send(connection, lake, raw_tables(), publisher, self.sources.bring_back)
            return publish_lake(connection, lake, marts, self.clock.now(), models, publisher).changes, ""
        except LakeError as error:
            LOGGER.warning("%s; the next publish catches up", error)
            return None, str(error)

    def _asked(self, collect: Callable[[Client[Part]], Awaitable[list[FetchRecord]]]) -> list[Outcome]:
        async def run() -> list[FetchRecord]:
            async with Client[Part](self.settings.access(), turns=self.budget()) as client:
                return await collect(client)

        self.vault.create()
        return self.load(asyncio.run(run()))

    async def _learn_coins(self, client: Client[Part], on_record: Progress | None) -> list[FetchRecord]:
        """The list of coins is asked for where none was ever kept: without it nobody knows the largest coins."""
        wants_coins = any(dataset.is_per_coin for dataset in self.settings.wanted_datasets())
        if not (wants_coins and self.settings.needs_universe) or listed_coins(self.vault):
            return []
        dataset = BY_NAME["coins"]
        ask = Ask.of(dataset, "", slot_at(dataset.cadence, self.clock.now()))
        return await self._sweep(client, on_record).run([ask])

    def _sweep(
        self, client: Client[Part], on_record: Progress | None, urgency: Urgency | None = None, paused: Pauses | None = None
    ) -> Sweep:
        limits = self.settings.plan_limits()
        chunk = CHUNK_MINUTES * limits.per_minute or ALL_AT_ONCE
        return Sweep(client, self.vault, self.clock, on_record, limits.per_day, self._held_states, urgency, chunk, paused)

    def _held_states(self) -> dict[tuple[str, str], datetime]:
        """The newest state in the warehouse of what is dated by it; nothing where the warehouse cannot be read now."""
        if not self.settings.warehouse_file.exists():
            return {}
        with contextlib.suppress(WarehouseError), open_reader(self.settings.warehouse_file, HELD_WAIT_S) as connection:
            return held_states(connection, self.clock.now() - HELD_LOOKBACK)
        return {}

    def _loaded_scopes(self, slot: datetime) -> set[tuple[str, str]]:
        """What was loaded at a slot; nothing where the warehouse cannot be read now."""
        with contextlib.suppress(WarehouseError), open_reader(self.settings.warehouse_file, HELD_WAIT_S) as connection:
            return loaded_scopes(connection, slot)
        return set()

    def _is_being_made(self, record: FetchRecord) -> bool:
        """Whether a sweep of another process has yet to read the state after it; one that died leaves it so for good."""
        is_open = record.outcome == "received" and record.state_before is not None and record.state_after is None
        return is_open and record.finished_at > self.clock.now() - SWEEP_PATIENCE
