"""The notebooks run from top to bottom over a published file, and show what is in it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

import warehouse
from tests.pipeline.conftest import Day

FOLDER = Path(__file__).parents[2] / "notebooks"


@pytest.fixture
def run(day: Day, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs every cell of a notebook; what it has defined by name."""
    monkeypatch.setenv("HTW_PUBLISHED", str(day.settings.published_file))

    def run_cells(name: str) -> dict[str, Any]:
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        notebook = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(notebook)
        return dict(notebook.app.run()[1])

    return run_cells


def test_there_is_no_notebook_that_is_not_run() -> None:
    assert {file.stem for file in FOLDER.glob("*.py")} == {"cohorts_against_price", "liquidation_map"}


def test_cohorts_against_price(run: Any) -> None:
    found = run("cohorts_against_price")
    together, coin = found["together"], found["coin"].value
    held = warehouse.frame("fct_cohort_metrics", coins=[coin], axis="pnl", dataset=found["dataset"])
    assert set(together.cohort_id) <= set(range(8, 16)), "one axis"
    assert not together.duplicated(["snapshot_at", "cohort_id"]).any()
    merged = together.merge(held, on=["snapshot_at", "cohort_id"], suffixes=("", "_held"))
    assert len(merged) == len(together) > 0
    assert (merged.long_fraction == merged.long_fraction_held).all()
    positions = warehouse.frame("fct_open_positions", coins=[coin]).groupby("snapshot_at")[["value_usd", "size"]].sum()
    marks = positions.value_usd / positions["size"]
    assert together.price.between(0.9 * marks.min(), 1.1 * marks.max()).all()
    assert len(found["summary"]) == together.cohort_id.nunique()
    assert found["chart"].to_dict()["vconcat"]


def test_liquidation_map(run: Any) -> None:
    found = run("liquidation_map")
    around, coin, price = found["around"], found["coin"].value, found["price"]
    assert set(around.side) == {"longs", "shorts"}
    for side, rows in around.groupby("side"):
        assert rows.cumulative_usd.max() == pytest.approx(rows.liquidation_value_usd.sum()), side
    assert (around[around.side == "longs"].price_to <= price).all()
    newest = warehouse.frame("fct_liquidation_heatmap", coins=[coin])
    newest = newest[newest.snapshot_at == newest.snapshot_at.max()]
    assert found["latest"].liquidation_value_usd.sum() == pytest.approx(newest.liquidation_value_usd.sum())
    assert found["largest"].liquidation_value_usd.max() == around.liquidation_value_usd.max()
    assert found["near"].to_dict()["vconcat"]
    assert found["history"].to_dict()
