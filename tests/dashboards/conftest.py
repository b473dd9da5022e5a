"""One published copy for all tests of the dashboards, and one without a row."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboards.published import Edition
from dashboards.queries.spans import Span
from tests.dashboards.copies import NOW, SINCE, publish, working_file


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    with working_file(folder) as connection:
        return publish(connection, folder)


@pytest.fixture(scope="session")
def without_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bare")
    with working_file(folder, has_rows=False) as connection:
        return publish(connection, folder)


@pytest.fixture(scope="session")
def edition(published: Path) -> Edition:
    return Edition(published.resolve())


@pytest.fixture
def span() -> Span:
    """All that there is."""
    return Span(SINCE, NOW)
