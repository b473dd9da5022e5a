"""Processes killed at every durable step, asked to stop, orphaned, or short of disk and memory: what is there afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestration.clock import SteppedClock
from orchestration.pipeline import Pipeline
from orchestration.settings import load_settings
from sandbox import Fault, Sandbox, SandboxSettings, running_sandbox
from tests.pipeline.conftest import ABOUT_POLLS, dumped
from tests.reliability.mortal import Parent, warm_parent
from warehouse.connection import open_reader, open_writer
from warehouse.query import query

DAY = datetime(2026, 3, 26, tzinfo=UTC)
SECOND = DAY + timedelta(minutes=15)
LATER = SECOND + timedelta(hours=1)
ASKED_AFTER = timedelta(seconds=90)
DATASETS = ("coins", "order_snapshots", "heatmap")
KILLED = -signal.SIGKILL
DRAINS_WITHIN_S = 10.0


@dataclass
class Fleet:
    """A provider, a warm parent of workers, and a folder that polled, built and published once."""

    sandbox: Sandbox
    parent: Parent
    base: Path

    def settings(self, folder: Path) -> dict[str, Any]:
        return {
            "api_url": self.sandbox.api_url, "api_token": self.sandbox.token, "coins": "BTC,ETH", "plan": "1000000/day",
            "data_dir": str(folder), "datasets": ",".join(DATASETS), "warehouse_url": None,
        }  # fmt: skip

    def __call__(self, folder: Path, slot: datetime, *verbs: str, step: str = "") -> int:
        """A worker that polls at a slot, or does the verbs; how it ended."""
        self.sandbox.clock.set(slot + ASKED_AFTER)
        given = verbs or (f"poll {slot.isoformat()} {' '.join(DATASETS)}",)
        return self.parent(self.settings(folder), slot + ASKED_AFTER, *given, step=step)

    def copied(self, folder: Path) -> Path:
        shutil.copytree(self.base, folder, symlinks=True)
        return folder

    def pipeline(self, folder: Path, now: datetime) -> Pipeline:
        return Pipeline(load_settings(**self.settings(folder)), SteppedClock(lambda: now, lambda _: None))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with (
        running_sandbox(SandboxSettings(coins=4, positions=200, orders=120, start=DAY, clock="manual")) as sandbox,
        warm_parent() as parent,
    ):
        fleet = Fleet(sandbox, parent, tmp_path_factory.mktemp("fleet") / "base")
        assert fleet(fleet.base, DAY) == 0
        yield fleet


@pytest.fixture(scope="module")
def published(fleet: Fleet) -> Fleet:
    """The same, built and published too."""
    assert fleet(fleet.base, DAY, "build", "publish") == 0
    return fleet


def loaded(pipeline: Pipeline) -> dict[str, list[tuple[Any, ...]]]:
    """What was loaded, row by row; not in which order, nor how often it was asked."""
    with open_reader(pipeline.settings.warehouse_file) as connection:
        statements = {name: f"select * exclude (_load_seq) from raw.{name} order by all" for name in DATASETS}
        statements["payloads"] = "select * exclude (load_seq) from ops.payloads where dataset <> 'state_status' order by all"
        return {name: connection.execute(sql).fetchall() for name, sql in statements.items()}


@pytest.fixture(scope="module")
def undisturbed(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Any, ...]]]:
    folder = fleet.copied(tmp_path_factory.mktemp("undisturbed") / "data")
    assert fleet(folder, SECOND) == 0
    return loaded(fleet.pipeline(folder, LATER))


# These run always, the others among the long tests.
OFTEN = ("os:replace:after:1", "sql:commit:after:2")
SEES = "nothing: the next poll goes on from there"


def kills(fault: str, *steps: str) -> list[Any]:
    return [pytest.param(step, id=f"{fault} {step}", marks=marks_of(fault, step)) for step in steps]


def marks_of(fault: str, step: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.proves(fault, sees=SEES), *([] if step in OFTEN else [pytest.mark.long])]


UNTIL_LOADED = [
    *kills("kill-request", "httpx:AsyncClient.send:before:2", "httpx:AsyncClient.send:after:2", "httpx:AsyncClient.send:after:5"),
    *kills("kill-temporary-file", "warehouse.bodies:BodyWriter.write:before:1", "warehouse.bodies:BodyWriter.write:after:2"),
    *kills("kill-temporary-file", "os:fsync:before:2", "os:fsync:after:2"),
    *kills(
        "kill-rename", "os:replace:before:1", "os:replace:after:1", "os:replace:after:2", "os:link:before:1", "os:link:after:2"
    ),
    *kills("kill-load", "warehouse.ledger:note_payload:before:1", "warehouse.ledger:note_payload:after:2"),
    *kills("kill-commit", "sql:commit:before:2", "sql:commit:after:2", "sql:begin:after:2"),
    *kills("kill-checkpoint", "sql:checkpoint:before:1", "sql:checkpoint:after:1"),
    *kills("kill-checkpoint", "warehouse.vault:Vault.forget_pending:before:1"),
]


@pytest.mark.parametrize("step", UNTIL_LOADED)
def test_a_poll_killed_at_any_step_is_made_good_by_the_next(
    fleet: Fleet, undisturbed: dict[str, list[tuple[Any, ...]]], tmp_path: Path, step: str
) -> None:
    folder = fleet.copied(tmp_path / "data")
    assert fleet(folder, SECOND, step=step) == KILLED
    assert fleet(folder, SECOND) == 0
    pipeline = fleet.pipeline(folder, LATER)
    pipeline.load()
    assert loaded(pipeline) == undisturbed
    assert all(pipeline.vault.verify(part) for record in pipeline.vault.records() for part in record.parts)
    assert pipeline.vault.pending() == []


DBT_QUERY = "dbt.adapters.sql.connections:SQLConnectionManager.add_query"
WHILE_BUILDING = (
    "orchestration.modelling:_invoke:before:1",
    "orchestration.modelling:_stored_manifest:after:1",
    f"{DBT_QUERY}:after:60",
    f"{DBT_QUERY}:before:200",
)
WHILE_PUBLISHING = (
    "warehouse.publish:write_version:before:1",
    "warehouse.publish:write_version:after:1",
    "warehouse.publish:_point_to:before:1",
    "os:replace:before:2",
    "warehouse.publish:_point_to:after:1",
)
COUNTS = "select count(*) as facts, count(distinct snapshot_at) as snapshots from fct_order_liquidity"


@pytest.mark.long
@pytest.mark.proves("kill-dbt-start", sees="readers keep what they had; the next build makes it good")
@pytest.mark.proves("kill-dbt-middle", sees="readers keep what they had; the next build makes it good")
@pytest.mark.proves("kill-publish", sees="readers have what they had, or the new copy; the next publish makes it good")
def test_builds_and_publishes_killed_at_any_step_are_made_good_by_the_next(published: Fleet, tmp_path: Path) -> None:
    """One folder through all kills, a slot each: builds are dear."""
    killed, untouched = published.copied(tmp_path / "killed"), published.copied(tmp_path / "untouched")
    copy, slot = killed / "published" / "hypertracker.duckdb", DAY
    for step in (*WHILE_BUILDING, *WHILE_PUBLISHING):
        slot, before = slot + timedelta(minutes=15), query(copy, COUNTS)
        assert published(killed, slot) == published(untouched, slot) == 0
        if step in WHILE_PUBLISHING:
            assert published(killed, slot, "build") == 0
        assert published(killed, slot, "build", "publish", step=step) == KILLED, step
        seen = query(copy, COUNTS)
        assert seen.equals(before) or step == WHILE_PUBLISHING[-1], step
        assert int(seen["facts"][0]) > 0
    for folder in (killed, untouched):
        assert published(folder, slot, "build", "publish") == 0
    assert facts(killed) == facts(untouched)
    after = slot + timedelta(minutes=15)
    assert published(killed, after) == published(killed, after, "build", "publish") == 0
    assert [path.name for path in (killed / "published").iterdir() if "unfinished" in path.name or path.suffix == ".new"] == []


def facts(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every fact that readers see, but those that tell how often somebody asked."""
    found = dumped(folder / "published" / "hypertracker.duckdb")
    return {table: rows for table, rows in found.items() if table not in ABOUT_POLLS}


def children_of(pid: int) -> list[str]:
    return [child for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]


def holds(pid: str, file: Path) -> bool:
    """Whether a process has the file open."""
    return any(Path(os.path.realpath(handle)) == file for handle in Path(f"/proc/{pid}/fd").glob("*"))


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are looked at in /proc")
@pytest.mark.proves("orphaned-dbt", sees="nothing: dbt runs within the process that builds, and the file is free when that ends")
def test_a_build_that_lost_its_parent_has_no_child_that_holds_the_file(fleet: Fleet, tmp_path: Path) -> None:
    folder = fleet.copied(tmp_path / "data")
    file = fleet.pipeline(folder, LATER).settings.warehouse_file
    with warm_parent() as parent:
        pid, holder = parent.start(fleet.settings(folder), LATER, "build"), file.with_suffix(".holder")
        while not holder.exists():
            time.sleep(0.01)
        time.sleep(1.0)
        parent.process.kill()
        parent.process.wait()
        assert holder.read_text() == f"process {pid}", "its parent is gone, it builds on"
        assert not any(holds(child, file) for child in children_of(pid))
        os.kill(pid, signal.SIGKILL)
        with open_writer(file, 2.0) as connection:
            assert connection.execute("select count(*) > 0 from ops.payloads").fetchone() == (True,)


@pytest.mark.proves("sigterm", sees="`htw poll` ends at once, and what it had fetched is kept")
def test_a_poll_that_is_asked_to_stop_ends_within_ten_seconds(fleet: Fleet, tmp_path: Path) -> None:
    folder = fleet.copied(tmp_path / "data")
    before = len(list(fleet.pipeline(folder, LATER).vault.records()))
    fleet.sandbox.clock.set(SECOND + ASKED_AFTER)
    fleet.sandbox.faults.add(Fault("slow", "/orders", delay_s=28.0))
    try:
        polls = f"poll {SECOND.isoformat()} {' '.join(DATASETS)}"
        pid, vault = fleet.parent.start(fleet.settings(folder), SECOND + ASKED_AFTER, polls), fleet.pipeline(folder, LATER).vault
        while len(list(vault.records())) == before:
            time.sleep(0.02)
        asked = time.monotonic()
        os.kill(pid, signal.SIGTERM)
        assert fleet.parent.wait() == -signal.SIGTERM
        assert time.monotonic() - asked < DRAINS_WITHIN_S
    finally:
        fleet.sandbox.faults.clear()
    assert vault.pending()
    assert fleet(folder, SECOND) == 0
