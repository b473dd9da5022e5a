"""The picture of coverage fits the terminal, and tells its states apart without colour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestration.budget import Left
from orchestration.reporting import DatasetStatus, budget_line, gap_lines, status_json
from orchestration.strips import Mark, axis, cell_for, cells_between, legend, picture
from warehouse.coverage import Gap, Tally

DAY = datetime(2026, 3, 24, tzinfo=UTC)
HOUR = timedelta(hours=1)


def status(cells: dict[datetime, Tally], *gaps: Gap) -> DatasetStatus:
    due, arrived = sum(tally.due for tally in cells.values()), sum(tally.arrived for tally in cells.values())
    return DatasetStatus("liquidation_heatmap_export", "2 hours", 3, due, arrived, 12_345, None, gaps, cells)


def gap(**given: object) -> Gap:
    values = {
        "dataset": "order_snapshots", "scope": "BTC", "first": DAY, "last": DAY + HOUR, "slot_count": 13, "verdict": "missed",
        "reason": "nobody asked", "mend": "`htw heal`", "recoverable_until": DAY + timedelta(days=30), "cost_to_fix": 13,
    }  # fmt: skip
    return Gap(**(values | given))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("width", "hours", "cell"),
    [
        pytest.param(80, 24, timedelta(hours=2), id="a day in 80 columns"),
        pytest.param(160, 24, timedelta(minutes=15), id="a day in 160"),
        pytest.param(80, 1, timedelta(minutes=5), id="an hour"),
        pytest.param(80, 14 * 24, timedelta(days=1), id="two weeks"),
        pytest.param(80, 365 * 24, timedelta(days=17), id="a year"),
    ],
)
def test_a_cell_is_as_short_as_fits(width: int, hours: int, cell: timedelta) -> None:
    until = DAY + timedelta(minutes=7)
    found = cell_for(width, until - hours * HOUR, until)
    assert found == cell
    lines = [line.plain for line in picture([status({})], until - hours * HOUR, until, found)]
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize(
    ("tally", "mark"),
    [
        (Tally(due=2, arrived=2), Mark.ARRIVED),
        (Tally(due=2, arrived=1, lost=1), Mark.PARTLY),
        (Tally(due=2, healable=1, lost=1), Mark.HEALABLE),
        (Tally(due=2, lost=2), Mark.LOST),
        (Tally(idle=2), Mark.IDLE),
        (None, Mark.NOTHING),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_cell_is_marked_by_what_it_holds(tally: Tally | None, mark: Mark) -> None:
    assert Mark.of(tally) is mark


def test_marks_differ_without_colour_and_the_legend_is_one_line() -> None:
    assert len({mark.character for mark in Mark}) == len(Mark)
    assert len(legend().plain) <= 80


def test_the_axis_names_the_cells_it_stands_above() -> None:
    begins = cells_between(DAY, DAY + timedelta(days=1), timedelta(minutes=15))
    times = axis(begins, timedelta(minutes=15))
    assert (times.index("00:00"), times.index("02:00"), len(times)) == (0, 8, 96)


def test_a_strip_stands_below_its_times() -> None:
    cells = {DAY: Tally(3, 3), DAY + 2 * HOUR: Tally(3, 1, 2), DAY + 4 * HOUR: Tally(3, 0, 0, 3), DAY + 6 * HOUR: Tally(idle=3)}
    lines = [line.plain for line in picture([status(cells)], DAY, DAY + 8 * HOUR, 2 * HOUR)]
    assert lines[2].split() == ["liquidation_heatmap_export", "█▒x·", "4/9", "5", "12345"]


def test_reasons_say_what_healing_costs_and_until_when() -> None:
    gone = gap(scope="ETH", first=DAY - timedelta(days=31), recoverable_until=DAY - timedelta(days=1))
    (line,) = gap_lines([status({}, gap(), gone)], DAY + 2 * HOUR)
    assert "13 of 26 can be healed for about 13 requests, the first until 2026-04-23 00:00: `htw heal`; 13 are lost" in line
    (lost,) = gap_lines([status({}, gap(recoverable_until=None, cost_to_fix=None, mend="keep `make up` running"))], DAY)
    assert lost.endswith("lost; keep `make up` running")


def test_the_same_as_values() -> None:
    (values,) = status_json([status({DAY: Tally(3, 3)}, gap())], (DAY, DAY + 2 * HOUR), HOUR)
    assert [cell["state"] for cell in values["strip"]["cells"]] == ["arrived", "nothing"]
    assert (values["due"], values["missing"], values["gaps"][0]["cost_to_fix"]) == (3, 0, 13)


def test_the_budget_is_told_in_a_line() -> None:
    assert budget_line(Left(90, 900, None)) == "Requests left: 90 today, 900 this month"
    assert "quota is spent" in budget_line(Left(0, 0, 0, DAY, "the quota is spent"))
