"""A market day run once: the sandbox, the real jobs, a real warehouse. Tests of this tier only look at what it left."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from pydantic import SecretStr

from orchestration.clock import SteppedClock
from orchestration.definitions import build_definitions, datasets_by_cadence
from orchestration.landing import land_all
from orchestration.pipeline import Pipeline
from orchestration.planning.slots import Cadence, is_slot
from orchestration.registering import prepare
from orchestration.runs import RunResult, dagster_instance, run_slot
from orchestration.settings import Settings, load_settings
from sandbox import Fault, SandboxSettings, running_sandbox
from warehouse.connection import open_writer
from warehouse.fetches import FetchRecord

DAY = datetime(2026, 3, 24, tzinfo=UTC)
COINS = ("BTC", "ETH", "kPEPE", "xyz:GOLD", "hyna:BTC")
# These tell what polling cost and how each poll ended, so that another poll or another order of loading is another fact.
ABOUT_POLLS = ("fct_api_usage", "fct_slot_coverage")
ASKED_AFTER = timedelta(seconds=5)


@dataclass
class Day:
    """One data folder fed by one sandbox, tick by tick."""

    settings: Settings
    sandbox: Any
    clock: SteppedClock
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    polled_at: dict[tuple[Cadence, datetime], datetime] = field(default_factory=dict)

    def tick(self, slot: datetime, *cadences: Cadence, only: tuple[str, ...] = ()) -> list[RunResult]:
        """Poll every cadence due at a slot (or the ones named), as the schedules would."""
        results = []
        for cadence, datasets in datasets_by_cadence(self.settings).items():
            chosen = [dataset for dataset in datasets if not only or dataset.name in only]
            if is_slot(cadence, slot) and (not cadences or cadence in cadences) and chosen:
                if slot + ASKED_AFTER > self.clock.now():
                    self.sandbox.clock.set(slot + ASKED_AFTER)
                results.append(run_slot(self.definitions, cadence, slot, chosen, self.instance))
                self.polled_at[cadence, slot] = self.clock.now()
        return results

    @property
    def pipeline(self) -> Pipeline:
        return Pipeline(self.settings, self.clock)


@pytest.fixture(scope="session")
def new_day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Makes days: each with a sandbox and a data folder of its own, closed at the end of the session."""
    import contextlib

    with contextlib.ExitStack() as stack:

        def make(coins: str = ",".join(COINS), **sizes: Any) -> Day:
            wanted = {"coins": 9, "positions": 1200, "orders": 600, "seed": 11, "start": DAY, "clock": "manual"} | sizes
            sandbox = stack.enter_context(running_sandbox(SandboxSettings(**wanted)))
            settings = load_settings(
                api_url=sandbox.api_url, api_token=SecretStr(sandbox.token), coins=coins, plan="1000000/day",
                data_dir=tmp_path_factory.mktemp("day"), datasets="all",
            )  # fmt: skip
            clock = SteppedClock(sandbox.clock.now, sandbox.clock.set)
            instance = stack.enter_context(dagster_instance(settings))
            return Day(settings, sandbox, clock, build_definitions(settings, clock), instance)

        yield make


@pytest.fixture(scope="session")
def day(new_day: Any) -> Day:
    """A fault-free stretch: four slots of the fast cadences, two of the slow ones."""
    made: Day = new_day()
    for minutes in (0, 5, 10, 15, 120):
        results = made.tick(DAY + timedelta(minutes=minutes))
        assert all(result.succeeded for result in results), results
    return made


@pytest.fixture(scope="session")
def faulty_day(new_day: Any) -> Day:
    """The same stretch with faults that retries and later slots heal, and some that cost a slot."""
    made: Day = new_day(coins="BTC,ETH,NOSUCH")
    made.sandbox.faults.add(Fault(kind="status", path="/positions/coins", status=503, count=2))
    made.sandbox.faults.add(Fault(kind="html", path="/positions/open/coin/ETH"))
    made.sandbox.faults.add(Fault(kind="expired", leg="storage", count=1))
    made.sandbox.faults.add(Fault(kind="cut", leg="storage", count=1, after=3))
    made.tick(DAY)
    made.sandbox.faults.clear()
    return made


@pytest.fixture
def copied(day: Day, tmp_path: Path) -> Callable[..., Path]:
    """The published file after some statements, as another publish would leave it."""

    def make(*statements: str) -> Path:
        file = tmp_path / f"copy{len(list(tmp_path.iterdir()))}.duckdb"
        shutil.copyfile(day.settings.published_file.resolve(), file)
        with duckdb.connect(str(file)) as connection:
            for statement in statements:
                connection.execute(statement)
        return file

    return make


def dumped(file: Path, prefix: str = "fct_") -> dict[str, list[tuple[Any, ...]]]:
    """Every published fact as ordered rows."""
    with duckdb.connect(str(file.resolve()), read_only=True) as connection:
        tables = [
            row[0] for row in connection.execute("select table_name from duckdb_tables() where schema_name = 'marts'").fetchall()
        ]
        return {
            table: connection.execute(f"select * from marts.{table} order by all").fetchall()
            for table in sorted(tables)
            if table.startswith(prefix)
        }


def load_only(pipeline: Pipeline, records: Sequence[FetchRecord]) -> None:
    """Land these fetches in this order; `Pipeline.load` would add whatever else the vault holds."""
    with open_writer(pipeline.settings.warehouse_file) as connection:
        prepare(connection)
        list(land_all(connection, pipeline.vault, records))
