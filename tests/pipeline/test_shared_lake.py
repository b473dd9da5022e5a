"""Two machines that share the work out and one lake, beside one that does all of it: the facts are the same."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestration.hypertracker.datasets import BY_NAME
from orchestration.modelling import raise_for_failures
from orchestration.pipeline import Pipeline
from orchestration.settings import Settings
from tests.integration.processes import Htw
from tests.pipeline.conftest import ABOUT_POLLS, DAY
from tests.production.cluster import PASSWORD, binaries, running_cluster
from tests.stores import BUCKET, KEY_ID, SECRET, running_store
from warehouse.changes import OWNER
from warehouse.lake import Lake
from warehouse.query import connect_published

pytestmark = pytest.mark.long
# Whose values differ with who heard them when, and what one machine alone cannot compare.
HEARD = ("known_at", "payload_id")
OF_ONE_MACHINE = (*ABOUT_POLLS, "fct_reconciliations", "fct_restatements", "fct_payload_keys", "fct_definition_changes")
SHARES = {
    "one": ("coins", "segments", "open_positions", "order_snapshots", "market_metrics"),
    "left": ("coins", "segments", "open_positions"),
    "right": ("coins", "order_snapshots", "market_metrics"),
}


def facts(lake: Lake) -> dict[str, list[tuple[Any, ...]]]:
    with connect_published(lake) as connection:
        columns = connection.execute(
            "select table_name, string_agg(column_name, ', ' order by column_name) from duckdb_columns() "
            "where starts_with(table_name, 'fct_') and schema_name = 'marts' and not list_contains($1, column_name) "
            "and not list_contains($2, table_name) group by table_name order by table_name",
            [[OWNER, *HEARD], list(OF_ONE_MACHINE)],
        ).fetchall()
        return {table: connection.execute(f"select {listed} from {table} order by all").fetchall() for table, listed in columns}


def test_two_machines_and_one_lake_give_the_facts_of_one_machine(new_day: Any, tmp_path: Path) -> None:
    if (found := binaries()) is None:
        pytest.skip("no PostgreSQL is installed here (Debian: apt-get install postgresql)")
    day = new_day(coins="BTC,ETH", positions=200, orders=100)
    for name, secret in (("password", PASSWORD), ("secret", SECRET)):
        (tmp_path / name).write_text(secret)
    with running_cluster(found) as cluster, running_store() as store:
        shared = {
            "lake_url": f"ducklake:{cluster.address}", "lake_password_file": tmp_path / "password",
            "lake_data": f"s3://{BUCKET}/lake", "lake_s3_endpoint": store.endpoint, "lake_s3_key_id": KEY_ID,
            "lake_s3_secret_file": tmp_path / "secret",
        }  # fmt: skip

        def machine(name: str) -> Pipeline:
            changes = {"data_dir": tmp_path / name} | ({} if name == "one" else shared)
            return Pipeline(day.settings.model_copy(update=changes), day.clock)

        machines = {name: machine(name) for name in SHARES}
        for minutes in (0, 5):
            slot = DAY + timedelta(minutes=minutes)
            day.sandbox.clock.set(slot + timedelta(seconds=5))
            for name, pipeline in machines.items():
                pipeline.poll([BY_NAME[dataset] for dataset in SHARES[name]], slot)
                raise_for_failures(pipeline.build())
                assert pipeline.publish().lake_problem == ""
        alone, together = facts(machines["one"].settings.lake), facts(machines["left"].settings.lake)
        assert {table for table, found in alone.items() if found} >= {"fct_open_positions", "fct_order_versions"}
        assert together == alone
        _asked_by_the_command(machines["left"].settings, tmp_path, {name: str(value) for name, value in shared.items()})


def _asked_by_the_command(settings: Settings, folder: Path, shared: dict[str, str]) -> None:
    htw = Htw(settings.api_url, "any", settings.data_dir)
    told = htw("lake", "status", **shared)
    assert (told.returncode, told.stdout.count("publisher "), told.stdout.count(", this machine")) == (0, 2, 1), told.stderr
    asked = htw(
        "query", "--lake", "--format", "csv", "select count(distinct coin) as coin_count from fct_open_positions", **shared
    )
    assert asked.stdout.split() == ["coin_count", "2"], asked.stderr
    moved = htw("migrate", "settings", "sqlite:" + str(folder / "moved" / "catalog.sqlite"), **shared)
    assert moved.returncode == 0, moved.stderr
    assert facts(Lake(folder / "moved" / "catalog.sqlite", folder / "moved" / "data")) == facts(settings.lake)
    upkeep = htw("lake", "maintain", **shared)
    assert upkeep.returncode == 0, upkeep.stderr
    wrong = htw("lake", "status", **shared | {"lake_password_file": shared["lake_s3_secret_file"]})
    assert wrong.returncode == 1
    assert "cannot be reached" in wrong.stderr
    assert SECRET not in wrong.stdout + wrong.stderr
    well = [line for line in htw("doctor", **shared).stdout.splitlines() if "lake:" in line]
    assert len(well) == 1
    assert "2 publishers" in well[0]
