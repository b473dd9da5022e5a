"""Payloads are matched by name, or refused in words."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestration.hypertracker.datasets import BY_NAME
from orchestration.hypertracker.shapes import Shape, ShapeError, align, instant


def shape_of(dataset: str) -> Shape:
    shape = BY_NAME[dataset].shape
    assert shape is not None
    return shape


def sample(samples: Path, name: str) -> Any:
    return json.loads((samples / name).read_text("utf-8"))


def test_the_ragged_export_of_the_samples_is_read(samples: Path) -> None:
    page = sample(samples, "exports_position_metrics_BTC.json")
    contents = shape_of("position_metrics_export").inspect([page], "BTC")
    assert contents.row_count == 170
    assert contents.newest_at == datetime(2026, 3, 24, 9, 54, 30, 589000, tzinfo=UTC)


def test_the_size_buckets_of_the_samples_are_dated_by_the_payload(samples: Path) -> None:
    page = sample(samples, "exports_position_breakdown_by_size_BTC.json")
    contents = shape_of("breakdown_by_size_export").inspect([page], "BTC")
    assert contents.row_count == 10
    assert contents.snapshot_at == datetime(2026, 4, 27, 18, 0, 25, 270000, tzinfo=UTC)


def test_the_other_samples_are_read(samples: Path) -> None:
    assert shape_of("coins").inspect([sample(samples, "positions_coins.json")], "").row_count == 31
    assert shape_of("market_metrics").inspect([sample(samples, "position_metrics_general.json")], "").row_count == 21


def test_pages_count_together(samples: Path) -> None:
    page = sample(samples, "position_metrics_general.json")
    assert shape_of("market_metrics").inspect([page, page], "").row_count == 42


@pytest.mark.parametrize(
    ("columns", "rows", "aligned"),
    [
        pytest.param(["coin", "timestamp", "a"], [["t", 1]], ["timestamp", "a"], id="the documented mismatch"),
        pytest.param(["timestamp", "a"], [["t", 1]], ["timestamp", "a"], id="equal"),
        pytest.param(["a", "timestamp"], [[1, "t"]], ["a", "timestamp"], id="reordered"),
        pytest.param(["timestamp", "a"], [], ["timestamp", "a"], id="no rows"),
    ],
)
def test_columns_are_aligned_by_the_one_rule(columns: list[str], rows: list[Any], aligned: list[str]) -> None:
    assert align(columns, rows) == aligned


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        pytest.param(["timestamp", "a", "b"], [["t", 1]], id="one less without coin"),
        pytest.param(["coin", "timestamp", "a"], [["t"]], id="two less"),
        pytest.param(["timestamp"], [["t", 1]], id="one more"),
        pytest.param(["coin", "timestamp", "a"], [["t", 1], ["BTC", "t", 1]], id="ragged rows"),
        pytest.param(["timestamp", "a", "a"], [["t", 1, 1]], id="a name twice"),
        pytest.param(["timestamp"], ["t"], id="rows that are no lists"),
    ],
)
def test_any_other_mismatch_is_refused(columns: list[str], rows: list[Any]) -> None:
    with pytest.raises(ShapeError):
        align(columns, rows)


def test_a_payload_of_another_coin_is_refused(samples: Path) -> None:
    page = sample(samples, "exports_position_metrics_BTC.json")
    with pytest.raises(ShapeError, match="asked for 'ETH', got 'BTC'"):
        shape_of("position_metrics_export").inspect([page], "ETH")


def test_a_missing_column_is_named(samples: Path) -> None:
    page = sample(samples, "exports_position_metrics_BTC.json")
    page["metrics"]["columns"][2] = "count"
    with pytest.raises(ShapeError, match="positionCount"):
        shape_of("position_metrics_export").inspect([page], "BTC")


@pytest.mark.parametrize("page", [None, "text", 3, [], {}, {"metrics": None}, {"metrics": [1]}], ids=repr)
def test_anything_that_is_no_list_of_records_is_refused(page: Any) -> None:
    with pytest.raises(ShapeError):
        shape_of("market_metrics").inspect([page], "")


@pytest.mark.parametrize("value", [1774000000000, "2026-03-24T10:00:00", "yesterday", None, ""], ids=repr)
def test_a_time_without_zone_or_form_is_refused(value: Any) -> None:
    with pytest.raises(ShapeError):
        instant(value, "timestamp")
