"""Machines that share the work out and one lake, beside one that does all of it: the facts are the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.division import Landing
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.modelling import raise_for_failures
from orchestration.pipeline import Pipeline
from orchestration.rebuilding import rebuild
from orchestration.settings import Settings
from tests.integration.processes import Htw
from tests.pipeline.conftest import ABOUT_POLLS, DAY
from tests.production.cluster import PASSWORD, required_binaries, running_cluster
from tests.stores import BUCKET, KEY_ID, SECRET, running_store
from warehouse.connection import connect
from warehouse.lake import Lake
from warehouse.query import connect_published
from warehouse.table_shapes import OWNER

pytestmark = pytest.mark.long
# Whose values differ with who heard them when, and what one machine alone cannot compare.
HEARD = ("known_at", "payload_id")
OF_ONE_MACHINE = (*ABOUT_POLLS, "fct_reconciliations", "fct_restatements", "fct_payload_keys", "fct_definition_changes")
ABOUT_POLLING = (*ABOUT_POLLS, "fct_definition_changes")
SHARES = {
    "one": ("coins", "segments", "open_positions", "order_snapshots", "market_metrics"),
    "left": ("coins", "segments", "open_positions"),
    "right": ("coins", "order_snapshots", "market_metrics"),
    "models": (),
}
DIVISION = {"one": Landing.HERE, "left": Landing.SEND, "right": Landing.SEND, "models": Landing.TAKE}


def facts(lake: Lake, but: Sequence[str] = OF_ONE_MACHINE) -> dict[str, list[tuple[Any, ...]]]:
    with connect_published(lake) as connection:
        columns = connection.execute(
            "select table_name, string_agg(column_name, ', ' order by column_name) from duckdb_columns() "
            "where starts_with(table_name, 'fct_') and schema_name = 'marts' and not list_contains($1, column_name) "
            "and not list_contains($2, table_name) group by table_name order by table_name",
            [[OWNER, *HEARD], list(but)],
        ).fetchall()
        return {table: connection.execute(f"select {listed} from {table} order by all").fetchall() for table, listed in columns}


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The settings of a lake that machines share, on a PostgreSQL and a store of their own."""
    found = required_binaries()
    for name, secret in (("password", PASSWORD), ("secret", SECRET)):
        (tmp_path / name).write_text(secret)
    with running_cluster(found) as cluster, running_store() as store:
        yield {
            "lake_url": f"ducklake:{cluster.address}", "lake_password_file": tmp_path / "password",
            "lake_data": f"s3://{BUCKET}/lake", "lake_s3_endpoint": store.endpoint, "lake_s3_key_id": KEY_ID,
            "lake_s3_secret_file": tmp_path / "secret",
        }  # fmt: skip


@dataclass
class Day:
    """Machines that poll what is theirs at two instants, then build and publish."""

    day: Any
    machines: dict[str, Pipeline]

    def run(self) -> None:
        for minutes in (0, 5):
            slot = DAY + timedelta(minutes=minutes)
            self.day.sandbox.clock.set(slot + timedelta(seconds=5))
            for name, pipeline in self.machines.items():
                if datasets := [BY_NAME[dataset] for dataset in SHARES[name]]:
                    pipeline.poll(datasets, slot)
                raise_for_failures(pipeline.build())
                assert pipeline.publish().lake_problem == ""


def test_two_machines_and_one_lake_give_the_facts_of_one_machine(new_day: Any, shared: dict[str, Any], tmp_path: Path) -> None:
    day = new_day(coins="BTC,ETH", positions=200, orders=100)

    def machine(name: str) -> Pipeline:
        changes = {"data_dir": tmp_path / name} | ({} if name == "one" else shared)
        return Pipeline(day.settings.model_copy(update=changes), day.clock)

    machines = {name: machine(name) for name in ("one", "left", "right")}
    Day(day, machines).run()
    alone, together = facts(machines["one"].settings.lake), facts(machines["left"].settings.lake)
    assert {table for table, found in alone.items() if found} >= {"fct_open_positions", "fct_order_versions"}
    assert together == alone
    _asked_by_the_command(machines["left"].settings, tmp_path, {name: str(value) for name, value in shared.items()})


def test_machines_that_poll_and_one_that_models_give_the_facts_of_one_machine(
    new_day: Any, shared: dict[str, Any], tmp_path: Path
) -> None:
    day = new_day(coins="BTC,ETH", positions=200, orders=100)

    def machine(name: str, landing: Landing) -> Pipeline:
        changes = {"data_dir": tmp_path / name, "landing": landing, **({} if name == "one" else shared)}
        changes |= {"datasets": "none"} if name == "models" else {}
        return Pipeline(day.settings.model_copy(update=changes), day.clock)

    machines = {name: machine(name, landing) for name, landing in DIVISION.items()}
    Day(day, machines).run()
    one, models = machines["one"], machines["models"]
    alone, together = facts(one.settings.lake, ABOUT_POLLING), facts(models.settings.lake, ABOUT_POLLING)
    assert {table for table, found in alone.items() if found} >= {"fct_open_positions", "fct_order_versions"}
    assert together == alone
    for pipeline in (machines["left"], machines["right"]):
        with duckdb.connect(str(pipeline.settings.published_file.resolve()), read_only=True) as file:
            tables = file.execute("select table_name from duckdb_tables() where schema_name = 'marts'").fetchall()
        assert sorted(name for (name,) in tables) == sorted(ABOUT_POLLING)
    with connect_published(models.settings.lake) as connection:
        told = connection.execute("select count(distinct _publisher) from fct_slot_coverage").fetchone()
        raw = connection.execute("select count(*) from lake.raw.open_positions").fetchone()
    with connect(one.settings.warehouse_file) as file:
        assert (told, raw) == ((2,), file.execute("select count(*) from raw.open_positions").fetchone())
    _modelled_anew(models, together)
    _modelled_by_the_command(models.settings, {name: str(value) for name, value in shared.items()})


def _modelled_anew(models: Pipeline, before: dict[str, list[tuple[Any, ...]]]) -> None:
    """Where the working file is lost, all there is comes from the lake again; nothing that is published goes meanwhile."""
    models.settings.warehouse_file.unlink()
    raise_for_failures(models.build())
    assert models.publish().lake_problem == ""
    assert facts(models.settings.lake, ABOUT_POLLING) == before
    rebuild(models)
    assert facts(models.settings.lake, ABOUT_POLLING) == before


def _modelled_by_the_command(settings: Settings, shared: dict[str, str]) -> None:
    htw = Htw("https://ht-api.example", "", settings.data_dir)
    division = {"landing": "take", "datasets": "none", **shared}
    done = htw("model", "--json", **division)
    assert (done.returncode, json.loads(done.stdout)["lake_problem"]) == (0, ""), done.stderr
    polled = htw("poll", **division)
    assert (polled.returncode, "HTW_DATASETS" in polled.stdout + polled.stderr) == (0, True), polled.stderr
    well = htw("doctor", **division).stdout
    assert "nothing is polled here" in well
    assert "raw rows of 2 other machines at the lake; all are taken" in " ".join(well.split())
    refused = htw("model", **division | {"lake_url": ""})
    assert (refused.returncode, "needs a lake that machines share" in refused.stderr) == (2, True), refused.stderr


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
