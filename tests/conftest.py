"""Shared fixtures, and the tiers by cost: unit, integration (sockets, DuckDB), pipeline (Dagster, dbt)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stamina
from xdist.scheduler import LoadScopeScheduling

from tests.reliability.proofs import MARK, PLUGIN, Proofs, quoted

LOOK_AT_THE_DAY = {
    "pipeline/test_confined.py",
    "pipeline/test_cookbook.py",
    "pipeline/test_day.py",
    "pipeline/test_export.py",
    "pipeline/test_notebooks.py",
    "pipeline/test_reading.py",
    "pipeline/test_spark_export.py",
    "pipeline/test_truth.py",
    "pipeline/test_truth_series.py",
}
SAMPLES = Path(__file__).parent / "data" / "samples"


@pytest.fixture(autouse=True)
def no_waiting_between_retries() -> Iterator[None]:
    """Retries happen, as often as in earnest, without the waiting."""
    stamina.set_testing(True, attempts=5)
    yield
    stamina.set_testing(False)


@pytest.fixture
def samples() -> Path:
    """The documented sample payloads."""
    return SAMPLES


def pytest_configure(config: pytest.Config) -> None:
    if not any(isinstance(plugin, Proofs) for plugin in config.pluginmanager.get_plugins()):
        config.pluginmanager.register(Proofs(), PLUGIN)


@pytest.fixture
def said(request: pytest.FixtureRequest) -> Iterator[Callable[..., None]]:
    """Holds what a test's `proves` marks quote against what was really said: call it with every text that a user would see."""
    texts: list[str] = []
    yield lambda *seen: texts.extend(map(str, seen))
    heard = " ".join(" ".join(texts).split())
    for words in quoted(request.node.iter_markers(MARK)):
        assert words in heard, f"nobody said “{words}”, but: {heard[:2000]}"


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist's schedulers have no types
    """What one worker has built is used by that worker: the tests of a file go together, and all that look at the market day."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "the day" if file.removeprefix("tests/") in LOOK_AT_THE_DAY else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """xdist's own groups have no effect with the way pytest 9.2 names tests."""
    return ByFile(config, log)
