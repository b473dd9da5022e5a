"""What is kept how long: old raw rows go and come back where a build needs them, and no fact is ever lost by it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from orchestration import modelling
from orchestration.clock import SteppedClock
from orchestration.collecting import Ask
from orchestration.hypertracker.datasets import BY_NAME
from orchestration.modelling import BuildError, prepare_manifest, raise_for_failures, raw_readers
from orchestration.pipeline import Pipeline
from orchestration.settings import load_settings
from orchestration.tidying import tidy_storage
from sandbox import Sandbox, SandboxSettings, running_sandbox
from tests.reliability.oracles import facts
from warehouse.connection import WarehouseError, open_reader, open_writer
from warehouse.retention import kept_whole

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
