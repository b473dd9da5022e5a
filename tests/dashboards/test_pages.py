"""Every page without a browser: with data, with a copy that has no row, with no copy at all."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from streamlit.proto.Metric_pb2 import Metric
from streamlit.testing.v1 import AppTest

from dashboards.pages.app import PAGES

ROOM = Path(__file__).parents[2] / "dashboards"
# Charts and tables of each page with data.
FIGURES = {"Market": (7, 0), "Coin": (5, 3), "Cohorts": (3, 0), "Wallets": (1, 2), "Coverage": (2, 1)}

each_page = pytest.mark.parametrize("page", list(PAGES))


def look(page: str) -> None:
    """What Streamlit runs for a look at one page."""
    from dashboards.pages.app import show

    show(page)


def looked_at(page: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("HTW_PUBLISHED", str(file))
    return AppTest.from_function(look, args=(page,), default_timeout=60).run()


def words(seen: AppTest) -> str:
    return " ".join(block.value for kind in (seen.info, seen.warning, seen.markdown, seen.caption) for block in kind)


@each_page
def test_a_page_shows_its_charts_with_their_time_and_completeness(
    page: str, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = looked_at(page, published, monkeypatch)
    assert not seen.exception
    assert not seen.warning
    assert not seen.info
    charts, tables = FIGURES[page]
    assert (len(seen.get("vega_lite_chart")), len(seen.dataframe)) == (charts, tables)
    figures = charts + tables
    assert len(seen.get("download_button")) == figures
    assert (
        len([caption for caption in seen.caption if "slots arrived" in caption.value or "no slot was due" in caption.value])
        == figures
    )


@each_page
def test_a_page_without_rows_says_what_is_missing_and_what_mends_it(
    page: str, without_rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = looked_at(page, without_rows, monkeypatch)
    assert not seen.exception
    assert not seen.get("vega_lite_chart")
    assert "`htw poll" in words(seen)


@each_page
def test_a_page_without_a_copy_says_what_to_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = looked_at(page, tmp_path / "hypertracker.duckdb", monkeypatch)
    assert not seen.exception
    assert "Nothing is published" in words(seen)
    assert "`htw demo`" in words(seen)


def test_nothing_missing_is_no_lack(first_slot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = looked_at("Coverage", first_slot, monkeypatch)
    assert not seen.exception
    [good] = seen.success
    assert good.value == "Nothing is missing of what was due and planned (all datasets: the one slot that was due arrived)."


def test_what_has_not_moved_has_no_arrow(first_slot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = looked_at("Market", first_slot, monkeypatch)
    [equity] = [metric for metric in seen.metric if metric.label == "Perp equity"]
    assert equity.delta == "0.0 %"
    assert equity.proto.direction == Metric.MetricDirection.NONE


def test_the_range_narrows_what_is_shown(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = looked_at("Market", published, monkeypatch)
    seen.session_state["range"] = "24 h"
    seen.run()
    assert not seen.exception
    assert "market_metrics: all 25 slots arrived" in words(seen)


def test_another_coin_is_shown(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = looked_at("Coin", published, monkeypatch)
    assert seen.selectbox(key="coin").options[0] == "BTC"
    seen.selectbox(key="coin").set_value("xyz:GOLD").run()
    assert not seen.exception
    assert "$90m" in [metric.value for metric in seen.metric]


def test_only_pages_know_streamlit() -> None:
    knowing = {
        file.relative_to(ROOM).parts[0]
        for file in ROOM.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and "streamlit"
        in {(name.name if isinstance(node, ast.Import) else node.module or "").split(".")[0] for name in node.names}
    }
    assert knowing == {"pages"}
