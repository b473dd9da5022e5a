"""What is kept how long: old raw rows go and come back where a build needs them, and no fact is ever lost by it."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from orchestration import modelling
from orchestration.cli import app
from orchestration.clock import SteppedClock
from orchestration.collecting import Ask
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.modelling import BuildError, prepare_manifest, raise_for_failures, raw_readers
from orchestration.pipeline import Pipeline
from orchestration.settings import load_settings
from orchestration.storage_report import Growth, Rates, survey
from orchestration.tidying import tidy_storage
from sandbox import Sandbox, SandboxSettings, running_sandbox
from tests.reliability.oracles import facts
from warehouse.connection import WarehouseError, open_reader, open_writer
from warehouse.retention import kept_whole
from warehouse.sizes import Files, Received, Working

BEGIN = datetime(2026, 3, 26, tzinfo=UTC)
DAYS = (0, 1, 9, 10)
DATASETS = ("order_snapshots", "open_positions", "coins", "segments", "perp_volume")
SLOTS = [BEGIN + timedelta(days=day, hours=12) for day in DAYS]
LATE = BEGIN + timedelta(hours=14)


def pipeline_of(sandbox: Sandbox, data_dir: Path) -> Pipeline:
    settings = load_settings(
        api_url=sandbox.api_url, api_token=SecretStr(sandbox.token), coins="top:2", plan="1000000/day", data_dir=data_dir,
        datasets=",".join(DATASETS), warehouse_url=None,
    )  # fmt: skip
    return Pipeline(settings, SteppedClock(sandbox.clock.now, sandbox.clock.set))


def rows(pipeline: Pipeline, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with open_reader(pipeline.settings.warehouse_file) as connection:
        return connection.execute(sql, list(values)).fetchall()


def count(pipeline: Pipeline, table: str) -> int:
    return int(rows(pipeline, f"select count(*) from {table}")[0][0])


@pytest.fixture(scope="module")
def market() -> Iterator[Sandbox]:
    with running_sandbox(SandboxSettings(start=BEGIN, clock="manual", coins=2, positions=40, orders=60)) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def polled(market: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A folder that has polled everything on a few days, and modelled it."""
    pipeline = pipeline_of(market, tmp_path_factory.mktemp("polled") / "data")
    for slot in SLOTS:
        market.clock.set(slot)
        pipeline.poll([*pipeline.settings.wanted_datasets()], slot, beyond_plan=True)
    raise_for_failures(pipeline.build())
    return pipeline


@pytest.fixture
def folder(market: Sandbox, polled: Pipeline, tmp_path: Path) -> Pipeline:
    """A copy of it, to be changed."""
    shutil.copytree(polled.settings.data_dir, tmp_path / "data")
    return pipeline_of(market, tmp_path / "data")


@pytest.fixture
def tidied(folder: Pipeline) -> Pipeline:
    """The copy, old raw rows dropped."""
    assert tidy_storage(folder).raw.row_count > 0
    return folder


def test_raw_rows_of_old_days_are_dropped_but_for_what_is_read_whole(folder: Pipeline) -> None:
    before, there = facts(folder), {name: count(folder, f"raw.{name}") for name in DATASETS}
    would = tidy_storage(folder, is_dry=True)
    assert {name: count(folder, f"raw.{name}") for name in DATASETS} == there
    did = tidy_storage(folder)
    assert did.raw.payloads == would.raw.payloads != ()
    assert did.raw.kept == ()
    left = {name: count(folder, f"raw.{name}") for name in DATASETS}
    assert left["segments"] == there["segments"] > 0
    assert all(0 < left[name] < there[name] for name in DATASETS if name != "segments")
    assert rows(folder, "select min(_slot) from raw.coins")[0][0] >= did.raw_before.replace(tzinfo=None)
    assert tidy_storage(folder).raw.payloads == ()
    assert facts(folder) == before


@pytest.mark.long
def test_what_comes_late_and_a_build_anew_find_the_raw_rows_they_need(tidied: Pipeline, market: Sandbox, tmp_path: Path) -> None:
    left = count(tidied, "raw.order_snapshots")
    tidied.ask([Ask.of(BY_NAME["order_snapshots"], "BTC", LATE)])
    raise_for_failures(tidied.build())
    assert count(tidied, "raw.order_snapshots") > left, "later snapshots are replayed"
    late = facts(tidied)
    tidy_storage(tidied)
    assert count(tidied, "raw.order_snapshots") == left
    raise_for_failures(tidied.build(full_refresh=True))
    anew = facts(tidied)
    shutil.copytree(tidied.settings.vault_dir, tmp_path / "whole" / "vault")
    never_dropped = pipeline_of(market, tmp_path / "whole")
    never_dropped.vault.mark_pending(never_dropped.vault.records())
    never_dropped.load()
    raise_for_failures(never_dropped.build())
    assert late == anew == facts(never_dropped)


def test_no_build_goes_on_without_the_raw_rows_it_reads(tidied: Pipeline) -> None:
    file, target_dir, before = tidied.settings.warehouse_file, tidied.settings.data_dir / "dbt", facts(tidied)
    with pytest.raises(BuildError, match=r"raw rows of \d+ payloads that this build reads were dropped; run `htw rebuild`"):
        modelling.build(file, target_dir, full_refresh=True)
    with open_writer(file) as connection:
        (record,) = [one for one in tidied.vault.records("open_positions") if one.slot == SLOTS[0] and one.scope == "BTC"]
        connection.execute("drop table intermediate.int_perp_volume_versions")
    with pytest.raises(BuildError, match="raw rows of 2 payloads"):
        modelling.build(file, target_dir, ["coins"])
    tidied.vault.path(record.parts[0]).unlink()
    with pytest.raises(WarehouseError, match=r"open_positions BTC of 2026-03-26 12:00 again.*restore that file"):
        tidied.build(full_refresh=True)
    assert facts(tidied) == before


def test_raw_rows_stay_that_no_build_has_read_or_that_the_vault_lacks(folder: Pipeline) -> None:
    file, old = folder.settings.warehouse_file, SLOTS[0].replace(tzinfo=None)
    with open_writer(file) as connection:
        connection.execute("delete from intermediate.int_perp_volume_versions")
        connection.execute("update marts.dim_coin set _load_seq = (select min(load_seq) from ops.payloads)")
    (record,) = [one for one in folder.vault.records("open_positions") if one.slot == SLOTS[0] and one.scope == "BTC"]
    folder.vault.path(record.parts[0]).write_bytes(b"spoilt")
    did = tidy_storage(folder).raw
    assert [(payload.dataset, payload.scope) for payload in did.kept] == [("open_positions", "BTC")]
    assert {payload.dataset for payload in did.payloads} == {"order_snapshots", "open_positions", "state_status"}
    for name in ("perp_volume", "coins", "open_positions"):
        assert rows(folder, f"select count(*) > 0 from raw.{name} where _slot = ?", old) == [(True,)]


def test_who_reads_raw_rows_is_told_by_the_models(polled: Pipeline) -> None:
    readers = raw_readers(prepare_manifest())
    assert {reader.name for reader in readers["order_snapshots"] if reader.replays} == {"fct_order_versions"}
    assert kept_whole(readers) == {"segments": "dim_cohort"}
    assert all(readers[name] for name in DATASETS)
    known = {name for (name,) in rows(polled, "select table_name from duckdb_tables() where schema_name = 'raw'")}
    assert known == readers.keys()


def htw(pipeline: Pipeline, *arguments: str) -> Result:
    """A command on a folder, in this process."""
    env = {
        "HTW_DATA_DIR": str(pipeline.settings.data_dir),
        "HTW_DATASETS": ",".join(DATASETS),
        "HTW_COINS": "top:2",
        "HTW_PLAN": "flow",
    }
    return CliRunner(env=env).invoke(app, list(arguments), catch_exceptions=False)


def test_storage_tells_every_byte_where_it_lies(polled: Pipeline) -> None:
    found = json.loads(htw(polled, "storage", "--json").stdout)
    vault = polled.settings.vault_dir
    on_disk = sum(path.stat().st_blocks * 512 for name in DATASETS for path in (vault / name).rglob("*") if path.is_file())
    assert sum(day["bytes"] for day in found["vault"] if day["dataset"] in DATASETS) == on_disk
    assert {day["day"] for day in found["vault"] if day["dataset"] == "coins"} == {f"{slot:%Y-%m-%d}" for slot in SLOTS}
    tables = sum(table["byte_count"] for table in found["tables"])
    file = found["places"]["working file"]["bytes"]
    assert 0.5 * file < tables + found["free_bytes"] <= file
    assert {table["schema"] for table in found["tables"]} >= {"raw", "ops", "intermediate", "marts"}
    assert found["places"]["vault"]["bytes"] == sum(day["bytes"] for day in found["vault"])


def test_the_forecast_is_what_a_poll_brought_times_the_polls_of_the_plan(polled: Pipeline) -> None:
    slots = [record for record in polled.vault.records("coins") if record.slot >= SLOTS[2]]
    measured = Working(received=(Received("coins", "2026-04-04", 2, 1000, 1000),))
    vault = {("coins", "2026-04-04"): Files(4, 3000, 2500), ("coins", "2026-03-01"): Files(1, 99, 99)}
    rates = Rates(vault, measured, {"coins": 5000}, {"coins": 1000}, SLOTS[-1].date())
    assert rates.growth("coins", 96) == Growth("coins", 96, 96 * 1500, 0, 0)
    assert rates.growth("heatmap", 96) == Growth("heatmap", 96)
    found = survey(polled)
    coins = next(one for one in found.growth if one.dataset == "coins")
    assert coins.vault
    assert coins.vault / coins.polls_a_day == pytest.approx(found.vault["coins", "2026-04-04"].byte_count, rel=0.5)
    assert len(slots) == 2
    assert found.in_a_year() == pytest.approx(365 * (found.a_day("vault") + found.a_day("facts")) + 7 * found.a_day("raw"))
    assert next(one for one in found.keeping if one.setting == "HTW_RAW_DAYS").bytes_to_go > 0


def test_storage_and_tidy_speak_to_people(folder: Pipeline) -> None:
    shown = htw(folder, "storage").stdout
    for words in ("working file", "vault by dataset", "marts.", "a day of the plan in force", "HTW_RAW_DAYS", "in a year"):
        assert words in shown
    assert "order_snapshots" in shown
    age(folder, days=2)
    would = htw(folder, "storage", "tidy", "--dry-run").stdout
    assert re.search(r"^\d+ days of a dataset to be packed$", would, re.MULTILINE)
    assert "raw.segments is kept: dim_cohort is made of all of it" in would
    did = json.loads(htw(folder, "storage", "tidy", "--json").stdout)
    assert did["days_to_pack"] == len(did["packed"]) > 0
    assert did["raw_rows_dropped"] > 0
    assert htw(folder, "storage", "tidy").stdout.startswith("0 days of a dataset packed: 0 files less\nraw rows of 0 payloads")


def age(pipeline: Pipeline, days: int) -> None:
    """As if nobody had touched the vault for so long."""
    then = time.time() - timedelta(days=days).total_seconds()
    for path in pipeline.settings.vault_dir.rglob("*"):
        os.utime(path, (then, then))
