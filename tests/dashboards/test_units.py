"""Figures as people read them."""

from __future__ import annotations

import pytest

from dashboards.charts.units import (
    CHANGE_COUNT,
    CHANGE_PERCENT,
    CHANGE_POINTS,
    CHANGE_USD,
    COUNT,
    NONE,
    PERCENT,
    PRICE,
    USD,
    Unit,
)


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        (USD, 1_234_000_000, "$1.23bn"),
        (USD, 999_999_999, "$1bn"),
        (USD, 54_600_000, "$54.6m"),
        (USD, 362, "$362"),
        (USD, 0, "$0"),
        (USD, -2_500, "-$2.5k"),
        (CHANGE_USD, 2_500, "+$2.5k"),
        (COUNT, 12_345, "12,345"),
        (CHANGE_COUNT, -3, "-3"),
        (PERCENT, 0.6568, "65.7 %"),
        (CHANGE_PERCENT, 0.05, "+5.0 %"),
        (CHANGE_POINTS, -0.021, "-2.1 pp"),
        (PRICE, 67_662.15, "$67,662.15"),
        (PRICE, 0.00001234, "$0.000012"),
        (USD, None, NONE),
        (USD, float("nan"), NONE),
        (PERCENT, float("inf"), NONE),
    ],
)
def test_a_figure_is_written(unit: Unit, value: float | None, text: str) -> None:
    assert unit(value) == text
