"""Shared fixtures, and the tiers by cost: unit, integration (sockets, DuckDB), pipeline (Dagster, dbt)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import stamina

from tests.reliability.proofs import MARK, PLUGIN, Proofs, quoted

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


@pytest.hookimpl(tryfirst=True)  # before the workers read the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What one worker has built is used by that worker: the market day goes together, everything else by file."""
    for item in items:
        shares_day = "day" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("day" if shares_day else str(item.path)))
