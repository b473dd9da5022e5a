"""One published copy for all tests of the dashboards, and one without a row."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboards.published import Edition
from dashboards.queries.spans import Span
from tests.dashboards.copies import NOW, SINCE, publish, working_file

FIRST_ROWS = {
    "fct_market_metrics": """
        select $at - step * interval 15 minute as snapshot_at, 1e9 as long_open_interest_usd, 2000 as position_count,
            4e9 + step as perp_equity_usd from range(2) as steps(step)""",
    "fct_open_positions": """
        select $at as snapshot_at, 'BTC' as coin, 'p1' as position_id, '0x1' as address, 'long' as side, 1e6 as value_usd,
            3 as size_cohort_id""",
    "fct_slot_coverage": """
        select $at as slot, 'market_metrics' as dataset, '' as scope, 'loaded' as verdict, true as has_arrived,
            true as is_planned, false as is_missing""",
}


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
def first_slot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a daemon has published after its first slot: one dataset, and positions before any cohort is known."""
    folder = tmp_path_factory.mktemp("first")
    with working_file(folder, has_rows=False) as connection:
        for table, row in FIRST_ROWS.items():
            connection.execute(f"insert into marts.{table} by name {row}", {"at": NOW})
        return publish(connection, folder)


@pytest.fixture(scope="session")
def edition(published: Path) -> Edition:
    return Edition(published.resolve())


@pytest.fixture
def span() -> Span:
    """All that there is."""
    return Span(SINCE, NOW)
