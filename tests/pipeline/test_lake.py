"""After every publish the lake holds what the working file holds: in whatever order slots come, rebuilt, or replayed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestration.hypertracker.datasets import BY_NAME
from orchestration.modelling import described_marts, prepare_manifest, raise_for_failures
from orchestration.pipeline import Pipeline
from tests.lakes import differences
from tests.pipeline.conftest import DAY, Day
from warehouse.connection import open_writer

POLLED = ("coins", "open_positions", "order_snapshots", "heatmap", "position_metrics_export", "market_metrics", "segments")


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


@pytest.mark.long
def test_the_lake_is_the_working_file_after_every_publish(new_day: Any) -> None:
    day: Day = new_day(coins="BTC,ETH", positions=300, orders=200)
    for minutes in (0, 5, 15, 30):
        assert poll(day, minutes), minutes
        assert told(day.pipeline) == {}, minutes
