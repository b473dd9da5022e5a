"""The services of the compose file, run natively on a real PostgreSQL: ticks, runs, the UI, a lost database, an orderly end.

One story told in this order: each test goes on where the one before it left the services.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestration.partitions import slot_key
from orchestration.pipeline import Pipeline
from orchestration.planning.slots import Cadence, slot_at
from orchestration.rebuilding import rebuild
from orchestration.settings import load_offline_settings
from sandbox import SandboxSettings, running_sandbox
from tests.pipeline.conftest import ABOUT_POLLS, dumped
from tests.production.cluster import PASSWORD, required_binaries, running_cluster
from tests.production.services import ENDED, GRACE_S, NAMES, Services, wait_until
from warehouse.query import query

pytestmark = pytest.mark.long
JOB = "every_5_minutes"
QUIET_S = 45


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    found = required_binaries()
    sizes = SandboxSettings(coins=3, positions=120, orders=60)
    with running_cluster(found) as cluster, running_sandbox(sizes) as sandbox:
        services = Services(tmp_path_factory.mktemp("services"), cluster, sandbox)
        try:
            services.start(*NAMES)
            yield services
        finally:
            services.kill(*services.children)


def test_schedules_tick_and_their_runs_finish(services: Services) -> None:
    def scheduled() -> list[str]:
        runs = services.runs().values()
        return [run["status"] for run in runs if run["jobName"] == JOB and "dagster/schedule_name" in run["tags"]]

    wait_until(lambda: bool(set(scheduled()) & ENDED), "ended a run that a schedule asked for")
    assert set(scheduled()) & ENDED == {"SUCCESS"}, services.said("code")[-3000:]
    published = services.data_dir / "published" / "hypertracker.duckdb"
    assert query(published, "select count(*) as n from fct_order_versions")["n"][0] > 0


def test_the_ui_answers_and_shows_the_code_server(services: Services) -> None:
    assert "dagster" in services.ui("/runs").lower()
    nodes = services.ask("{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }")
    assert nodes["workspaceOrError"]["locationEntries"] == [{"name": "orchestration.definitions", "loadStatus": "LOADED"}]


def test_what_dagster_knows_is_in_postgresql_and_nowhere_else(services: Services) -> None:
    assert int(services.cluster.ask("select count(*) from runs")) >= 1
    assert int(services.cluster.ask("select count(*) from event_logs")) > 10
    assert int(services.cluster.ask("select count(*) from job_ticks")) >= 1
    assert [path for path in (services.data_dir / "dagster").rglob("*") if path.suffix in (".db", ".sqlite")] == []


def test_postgresql_lost_in_mid_run_costs_that_run_at_most(services: Services) -> None:
    last = slot_at(Cadence.FIVE_MINUTES, datetime.now(UTC))
    run = services.launch(JOB, slot_key(last - timedelta(minutes=5)))
    wait_until(lambda: services.status(run) == "STARTED", "started")
    services.cluster.stop("immediate")
    services.cluster.start()
    wait_until(lambda: services.status(run) in ENDED, "ended")
    after = services.launch(JOB, slot_key(last))
    wait_until(lambda: services.status(after) in ENDED, "ended after the database was back")
    assert services.status(after) == "SUCCESS"
    assert [child.poll() for child in services.children.values()] == [None] * len(NAMES), "all live on"


def test_a_run_under_way_when_its_code_server_is_stopped_finishes_first(services: Services) -> None:
    run = begun_now(services)
    services.stop("code")
    assert services.status(run) == "SUCCESS"
    services.start("code")


def test_a_run_lost_with_its_code_server_is_failed_at_the_next_start_and_blocks_nothing(services: Services) -> None:
    run = begun_now(services)
    services.kill("code")
    services.start("code")
    assert services.status(run) == "FAILURE"
    after = begun_now(services)
    wait_until(lambda: services.status(after) in ENDED, "ended on the new code server")
    assert services.status(after) == "SUCCESS"


def test_a_daemon_that_is_lost_costs_no_run(services: Services) -> None:
    run = begun_now(services)
    services.kill("daemon")
    services.start("daemon")
    wait_until(lambda: services.status(run) in ENDED, "ended")
    assert services.status(run) == "SUCCESS"


def begun_now(services: Services) -> str:
    run = services.launch(JOB, slot_key(slot_at(Cadence.FIVE_MINUTES, datetime.now(UTC))))
    wait_until(lambda: services.status(run) == "STARTED", "started")
    return run


def test_sigterm_ends_all_within_the_grace_time(services: Services) -> None:
    wait_until(lambda: is_quiet(services), "quiet")
    took = services.stop(*NAMES)
    assert max(took.values()) < min(GRACE_S.values())
    assert {name: child.returncode for name, child in services.children.items()} == dict.fromkeys(NAMES, 0)


def is_quiet(services: Services) -> bool:
    """Whether no run is under way, and none will be for a while."""
    now = datetime.now(UTC)
    until_next = (slot_at(Cadence.FIVE_MINUTES, now) + timedelta(minutes=5) - now).total_seconds()
    return until_next > QUIET_S and all(run["status"] in ENDED for run in services.runs().values())


def test_nothing_was_lost_and_nothing_is_half_there(services: Services, tmp_path: Path) -> None:
    """The vault gives the facts that are published."""
    shutil.copytree(
        services.data_dir, tmp_path / "again", ignore=shutil.ignore_patterns("warehouse.duckdb*", "published", "lake")
    )
    pipeline = Pipeline(load_offline_settings(data_dir=tmp_path / "again", datasets="order_snapshots,coins", coins="BTC,ETH"))
    assert rebuild(pipeline) > 0
    published, again = (
        dumped(folder / "published" / "hypertracker.duckdb") for folder in (services.data_dir, tmp_path / "again")
    )
    assert len(published["fct_order_versions"]) > 0
    assert {table: rows for table, rows in published.items() if table not in ABOUT_POLLS} == {
        table: rows for table, rows in again.items() if table not in ABOUT_POLLS
    }


def test_the_passwords_are_in_no_file_and_in_no_log(services: Services) -> None:
    secrets = (PASSWORD.encode(), b"pass%3A5ec%2F7e7")
    files = [path for path in services.folder.rglob("*") if path.is_file() and services.secrets not in path.parents]
    assert {f"{name}.log" for name in NAMES} <= {path.name for path in files}
    assert [path for path in files if any(secret in path.read_bytes() for secret in secrets)] == []
