"""The code location: what is in it, that importing it touches nothing, and that its partitions never move."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from orchestration.assets.dbt_models import build_published_asset
from orchestration.definitions import build_definitions
from orchestration.division import Landing
from orchestration.hypertracker.datasets import BY_NAME, DATASETS
from orchestration.modelling import prepare_manifest
from orchestration.partitions import first_slot, slot_key, slot_of, slot_partitions
from orchestration.pipeline import Pipeline
from orchestration.planning.slots import Cadence, slot_at
from orchestration.settings import Settings, load_settings

REPOSITORY = Path(__file__).parents[2]
FIRST_START = datetime(2026, 3, 24, 15, 42, tzinfo=UTC)
PLAN = "1000000/day"
JOBS = {"every_5_minutes", "every_15_minutes", "every_2_hours", "every_day"}
# What is made of fetches, plans and verdicts, which stay with whoever polls.
ABOUT_POLLS = ("fct_api_usage", "fct_definition_changes", "fct_slot_coverage")
SHARED = {"lake_url": "ducklake:postgres://htw@127.0.0.1:1/lake", "lake_data": "s3://bucket/lake"}
MOVED = ("open_positions", "order_snapshots", "coins")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("definitions")
    return load_settings(api_url="http://127.0.0.1:1", data_dir=folder / "data", datasets="all", warehouse_url=None, plan=PLAN)


@pytest.fixture(scope="module")
def definitions(settings: Settings) -> dg.Definitions:
    return build_definitions(settings)


def raw_specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.path[1]: spec for spec in definitions.resolve_all_asset_specs() if spec.key.path[0] == "raw"}


def test_every_dataset_and_every_model_is_an_asset_named_like_its_table(definitions: dg.Definitions) -> None:
    manifest = prepare_manifest()
    modelled = {
        (node["schema"], node["name"]) for node in manifest["nodes"].values() if node["resource_type"] in ("model", "seed")
    }
    expected = {("raw", dataset.name) for dataset in DATASETS} | modelled | {("published", "hypertracker")}
    assert {tuple(spec.key.path) for spec in definitions.resolve_all_asset_specs()} == expected


def test_each_cadence_has_a_job_from_poll_to_publish_and_a_schedule_that_runs_it(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    repository = definitions.get_repository_def()
    polled = {cadence: {d.name for d in DATASETS if d.cadence is cadence} for cadence in Cadence}
    assert {name for name in repository.job_names if name.startswith("every_")} == JOBS
    for cadence in Cadence:
        job = definitions.resolve_job_def(f"every_{cadence.label}")
        keys = {tuple(key.path) for key in job.asset_layer.selected_asset_keys & set(graph.materializable_asset_keys)}
        assert {name for prefix, name in keys if prefix == "raw"} == polled[cadence]
        schedule = repository.get_schedule_def(f"every_{cadence.label}_schedule")
        assert schedule.job_name == f"every_{cadence.label}"
        assert schedule.cron_schedule == cadence.value
        assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert {schedule.job_name for schedule in repository.schedule_defs} == JOBS | {"heal", "maintain_lake", "tidy"}


@pytest.mark.parametrize("name", MOVED)
def test_what_is_polled_leads_to_the_published_copy(definitions: dg.Definitions, name: str) -> None:
    job = definitions.resolve_job_def(f"every_{BY_NAME[name].cadence.label}")
    assert dg.AssetKey(["published", "hypertracker"]) in job.asset_layer.selected_asset_keys


def test_raw_assets_warn_after_one_cadence_without_data_and_fail_after_two(definitions: dg.Definitions) -> None:
    specs = raw_specs(definitions)
    allowance = timedelta(minutes=2)
    for dataset in DATASETS:
        policy = specs[dataset.name].freshness_policy
        late = timedelta(seconds=dataset.settle_s) + allowance
        expected = dg.FreshnessPolicy.time_window(
            warn_window=dataset.cadence.step + late, fail_window=2 * dataset.cadence.step + late
        )
        assert policy == expected, dataset.name
    five = specs["order_snapshots"].freshness_policy
    assert timedelta(minutes=5) < five.warn_window.to_timedelta() < timedelta(minutes=10)  # type: ignore[union-attr]
    assert timedelta(minutes=10) < five.fail_window.to_timedelta() < timedelta(minutes=15)  # type: ignore[union-attr]


def test_importing_the_code_location_reads_and_writes_nothing(tmp_path: Path) -> None:
    code = """
import sys
opened = []
def watch(event, arguments):
    if event == "open" and not str(arguments[0]).endswith((".py", ".pyc")):
        opened.append(str(arguments[0]))
    if event in ("socket.connect", "sqlite3.connect"):
        opened.append(event)
import dagster, httpx, pydantic_settings
sys.addaudithook(watch)
import orchestration.definitions, orchestration.cli
inside = [path for path in opened if "/lib/python" not in path and not path.startswith(("/proc", "/etc", "/usr", "/dev"))]
print(inside + [name for name in ("dbt", "pandas", "sandbox") if name in sys.modules])
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HTW_")}
    said = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=tmp_path, env=environment | {"PYTHONPATH": str(REPOSITORY)}, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    assert said.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_the_start_of_the_partitions_is_written_once_and_stays(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    start = first_slot(data_dir, FIRST_START)
    assert start == datetime(2026, 2, 22, tzinfo=UTC)
    assert first_slot(data_dir, FIRST_START + timedelta(days=200)) == start
    assert slot_partitions(Cadence.DAY, start).start == start


@pytest.mark.parametrize("cadence", list(Cadence))
def test_keys_and_slots_round_trip_and_the_slot_just_begun_is_the_last(cadence: Cadence) -> None:
    now = datetime(2026, 3, 24, 10, 0, tzinfo=UTC) + timedelta(hours=14)
    partitions = slot_partitions(cadence, datetime(2026, 3, 22, tzinfo=UTC))
    keys = partitions.get_partition_keys(current_time=now)
    assert slot_of(keys[-1]) == slot_at(cadence, now)
    assert slot_of(keys[0]) == datetime(2026, 3, 22, tzinfo=UTC)
    assert [slot_key(slot_of(key)) for key in keys] == keys
    assert {is_begin(partitions, key) for key in keys[:50]} == {True}


def is_begin(partitions: dg.TimeWindowPartitionsDefinition, key: str) -> bool:
    """Whether Dagster and we mean the same instant by a key."""
    return partitions.time_window_for_partition_key(key).start == slot_of(key)


@pytest.mark.parametrize("key", ["2026-03-24", "2026-03-24T10:05", "2026-03-24T10:05:00Z", "now"])
def test_other_keys_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"does not match|unconverted"):
        slot_of(key)


def test_who_sends_raw_rows_builds_only_what_tells_of_polls(settings: Settings) -> None:
    definitions = build_definitions(settings.model_copy(update=SHARED | {"landing": Landing.SEND}))
    graph = definitions.resolve_asset_graph()
    made = {tuple(key.path) for key in graph.materializable_asset_keys}
    assert {key for key in made if key[0] != "raw"} == {("marts", name) for name in ABOUT_POLLS} | {("published", "hypertracker")}
    assert {key[1] for key in made if key[0] == "raw"} == {dataset.name for dataset in DATASETS}
    job = definitions.resolve_job_def("every_5_minutes")
    assert ("marts", "fct_slot_coverage") in {tuple(key.path) for key in job.asset_layer.selected_asset_keys}
    assert "model" not in definitions.get_repository_def().job_names


def test_who_takes_raw_rows_builds_every_model_on_a_schedule_of_its_own(settings: Settings) -> None:
    definitions = build_definitions(settings.model_copy(update=SHARED | {"landing": Landing.TAKE, "datasets": "none"}))
    repository = definitions.get_repository_def()
    assert {name for name in repository.job_names if not name.startswith("__")} == {"heal", "maintain_lake", "tidy", "model"}
    schedule = repository.get_schedule_def("model_schedule")
    assert (schedule.cron_schedule, schedule.default_status) == ("3-58/5 * * * *", dg.DefaultScheduleStatus.RUNNING)
    assert not [key for key in definitions.resolve_asset_graph().materializable_asset_keys if key.path[0] == "raw"]


def test_the_published_copy_follows_tables_only(settings: Settings) -> None:
    """Views are not built at every tick, and Dagster skips what follows something that was not made."""
    nodes = prepare_manifest()["nodes"].values()
    marts = {node["name"]: node["config"]["materialized"] for node in nodes if node["schema"] == "marts" and "columns" in node}
    views = {name for name, kind in marts.items() if kind == "view"}
    followed = {key.path[-1] for key in build_published_asset(lambda: Pipeline(settings)).dependency_keys}
    assert "open_interest" in views
    assert not followed & views
    assert "fct_open_positions" in followed
