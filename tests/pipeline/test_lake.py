"""After every publish the lake holds what the working file holds: in whatever order slots come, rebuilt, or replayed."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestration.hypertracker.datasets import BY_NAME
from orchestration.modelling import described_marts, prepare_manifest, raise_for_failures
from orchestration.pipeline import Pipeline
from orchestration.rebuilding import rebuild
from tests.lakes import differences
from tests.pipeline.conftest import DAY, Day, load_only
from warehouse.connection import open_writer
from warehouse.fetches import FetchRecord
from warehouse.query import connect_published, query

POLLED = ("coins", "open_positions", "order_snapshots", "market_metrics", "segments")


def told(pipeline: Pipeline) -> dict[str, tuple[int, int]]:
    """Rows that only the working file has and only the lake has, of marts that differ."""
    with open_writer(pipeline.settings.warehouse_file) as connection:
        return differences(connection, pipeline.settings.lake, described_marts(prepare_manifest()))


def poll(day: Day, minutes: int, datasets: tuple[str, ...] = POLLED) -> dict[str, int]:
    """One slot polled, built and published; the marts of the lake that changed, with their rows."""
    slot = DAY + timedelta(minutes=minutes)
    day.sandbox.clock.set(max(day.clock.now(), slot + timedelta(seconds=5)))
    day.pipeline.poll([BY_NAME[name] for name in datasets], slot)
    return publish(day.pipeline)


def publish(pipeline: Pipeline) -> dict[str, int]:
    raise_for_failures(pipeline.build())
    published = pipeline.publish()
    assert published.lake_problem == ""
    return {mart: rows for mart, rows in (published.lake_changes or {}).items() if rows}


@pytest.fixture(scope="module")
def lakeside(new_day: Any) -> Day:
    """Three slots, published one after the other."""
    day: Day = new_day(coins="BTC,ETH", positions=300, orders=200)
    for minutes in (0, 5, 15):
        assert poll(day, minutes), minutes
        assert told(day.pipeline) == {}, minutes
    return day


@pytest.mark.long
def test_a_slot_that_comes_late_is_in_the_lake_too(lakeside: Day, tmp_path: Path) -> None:
    """The fetches of 00:05 and 00:15 are landed in the other order, a publish after each."""
    other = Pipeline(lakeside.settings.model_copy(update={"data_dir": tmp_path / "data"}), lakeside.clock)
    shutil.copytree(lakeside.settings.vault_dir, other.settings.vault_dir)
    by_slot: dict[datetime, list[FetchRecord]] = {}
    for record in other.vault.records():
        by_slot.setdefault(record.slot, []).append(record)
    first, late, newest = sorted(by_slot)
    for slots in ((first, newest), (late,)):
        load_only(other, [record for slot in slots for record in by_slot[slot]])
        assert "fct_order_versions" in publish(other), slots
        assert told(other) == {}, slots
    assert read(other, "fct_order_versions") == read(lakeside.pipeline, "fct_order_versions")


@pytest.mark.long
def test_a_tick_does_not_write_again_what_the_lake_has(lakeside: Day) -> None:
    changes = poll(lakeside, 30)
    assert told(lakeside.pipeline) == {}
    rows = query(lakeside.settings.lake, "select count(*) as n, count(distinct snapshot_at) as t from fct_open_positions")
    assert changes["fct_open_positions"] == rows.n[0] / rows.t[0]
    assert "dim_cohort" not in changes


@pytest.mark.long
def test_a_lake_that_cannot_be_written_leaves_the_file_whole_and_the_next_publish_catches_up(lakeside: Day) -> None:
    catalog = lakeside.settings.lake.catalog
    shutil.move(catalog, catalog.with_suffix(".away"))
    catalog.mkdir()
    lakeside.pipeline.poll([BY_NAME["order_snapshots"]], DAY + timedelta(minutes=35))
    raise_for_failures(lakeside.pipeline.build())
    published = lakeside.pipeline.publish()
    assert published.path is not None
    assert "move it away: the next publish makes the lake again" in published.lake_problem
    catalog.rmdir()
    shutil.move(catalog.with_suffix(".away"), catalog)
    assert publish(lakeside.pipeline)
    assert told(lakeside.pipeline) == {}


@pytest.mark.long
def test_a_rebuild_restores_the_lake_as_well(lakeside: Day) -> None:
    before = read(lakeside.pipeline, "fct_open_positions")
    shutil.rmtree(lakeside.settings.lake.catalog.parent)
    rebuild(lakeside.pipeline)
    assert told(lakeside.pipeline) == {}
    assert read(lakeside.pipeline, "fct_open_positions") == before


@pytest.mark.long
def test_models_built_anew_are_compared_as_a_whole(lakeside: Day) -> None:
    publish(lakeside.pipeline)
    with open_writer(lakeside.settings.warehouse_file) as connection:
        connection.execute("update marts.fct_market_metrics set position_count = -1")
    raise_for_failures(lakeside.pipeline.build(full_refresh=True))
    lakeside.pipeline.publish()
    assert told(lakeside.pipeline) == {}


def read(pipeline: Pipeline, mart: str) -> list[tuple[Any, ...]]:
    """The rows of a mart of the lake, in order; payloads are the same in a copy of the vault."""
    with connect_published(pipeline.settings.lake) as connection:
        return connection.execute(f"select * from {mart} order by all").fetchall()
