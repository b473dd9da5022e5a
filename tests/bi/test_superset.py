"""Superset over the published copy and the lake: registered, asked, charted, and ten versions published beneath it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.bi.copies import MART, PUBLISHES, STATE, Copy, State, python_of_page
from tests.bi.superset import PASSWORD, USER, RefusedError, Superset, running
from tests.bi.test_sqlalchemy import HARDENED
from tests.dashboards.browser import browser, chromium
from tests.dashboards.copies import SIZE_COHORTS, working_file
from tests.dashboards.screenshots import keep

pytestmark = pytest.mark.bi
READERS = 3
HOURS = 49
# Where the picture of the chart is kept, for the page.
PICTURE = os.environ.get("HTW_BI_PICTURE")
BY_PATH, BY_SETTINGS, LAKE = "published, by its path", "published", "lake"
BIAS = """
    select snapshot_at, cohort_name, exposure_bias
    from marts.fct_cohort_bias
    join marts.dim_cohort using (cohort_id, axis)
    where axis = 'size' and dataset = 'segment_bias_history' and recency = 'all' and valid_to_at is null
"""
LINES = {
    "viz_type": "echarts_timeseries_line", "x_axis": "snapshot_at", "time_grain_sqla": "PT1H", "groupby": ["cohort_name"],
    "metrics": [{"expressionType": "SQL", "sqlExpression": "avg(exposure_bias)", "label": "exposure bias"}],
    "row_limit": 10_000, "show_legend": True, "legendType": "plain", "legendOrientation": "top", "y_axis_format": "+.1f",
    "x_axis_time_format": "%d %b %H:%M",
    "y_axis_title": "exposure bias", "y_axis_title_margin": 40, "x_axis_title": "UTC", "x_axis_title_margin": 30,
}  # fmt: skip
CANVAS = ".slice_container canvas"
IS_DRAWN = f"""() => {{
    const canvas = document.querySelector('{CANVAS}');
    const {{ data }} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const colours = new Set(new Uint32Array(data.buffer));
    return colours.size > 50;
}}"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    folder = tmp_path_factory.mktemp("published")
    with working_file(folder) as connection:
        copy = Copy(connection, folder)
        copy.publish_lake()
        yield copy


@pytest.fixture(scope="module")
def superset(copy: Copy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Superset]:
    (settings,) = [block for block in python_of_page(copy.folder) if "DB_CONNECTION_MUTATOR" in block]
    with running(tmp_path_factory.mktemp("superset"), settings) as found:
        yield found


@pytest.fixture(scope="module")
def databases(superset: Superset, copy: Copy) -> dict[str, int]:
    """Registered as the page says; their numbers."""
    uris = {BY_PATH: f"duckdb:///{copy.stable}?{HARDENED}", BY_SETTINGS: "duckdb:///published", LAKE: "duckdb:///lake"}
    numbers = {name: superset.register(name, uri) for name, uri in uris.items()}
    # The first question sets up Celery in the server; others beside it would fail.
    state(superset, numbers[BY_PATH])
    return numbers


each_way = pytest.mark.parametrize("way", [BY_PATH, BY_SETTINGS])


def state(superset: Superset, database: int) -> State:
    (row,) = superset.ask(database, STATE)
    return row["published_at"], row["row_count"]


@each_way
def test_readers_see_old_or_new_while_ten_versions_are_published(
    way: str, superset: Superset, databases: dict[str, int], copy: Copy
) -> None:
    with copy.changing(pause_s=0.5) as is_changing, ThreadPoolExecutor(READERS) as readers:

        def read(_: int) -> list[State]:
            seen = list[State]()
            while is_changing():
                seen.append(state(superset, databases[way]))
            return seen

        for seen in readers.map(read, range(READERS)):
            assert set(seen) <= set(copy.states)
            assert seen == sorted(seen)
            assert len(set(seen)) > PUBLISHES / 2
    assert state(superset, databases[way]) == copy.states[-1]


def test_the_lake_is_followed_too(superset: Superset, databases: dict[str, int], copy: Copy) -> None:
    before = state(superset, databases[LAKE])
    copy.publish()
    copy.publish_lake()
    assert state(superset, databases[LAKE]) == copy.states[-1] != before


@pytest.mark.parametrize("way", [BY_PATH, BY_SETTINGS, LAKE])
@pytest.mark.parametrize("statement", ["select * from read_csv('/etc/passwd')", "set enable_external_access = true"])
def test_the_editor_reaches_no_file_of_the_host(way: str, statement: str, superset: Superset, databases: dict[str, int]) -> None:
    with pytest.raises(RefusedError, match=r"disabled by configuration|has been locked"):
        superset.ask(databases[way], statement)


@pytest.mark.parametrize("way", [BY_PATH, BY_SETTINGS, LAKE])
def test_the_editor_writes_nothing(way: str, superset: Superset, databases: dict[str, int]) -> None:
    with pytest.raises(RefusedError, match="read-only"):
        superset.ask(databases[way], f"delete from marts.{MART}")


def test_schemas_keep_their_name_only_by_settings(superset: Superset, databases: dict[str, int], copy: Copy) -> None:
    of_the_version = f'"{copy.stable.resolve().stem}".marts'
    assert of_the_version in superset.schemas(databases[BY_PATH])
    assert "published.marts" in superset.schemas(databases[BY_SETTINGS])
    assert "lake.marts" in superset.schemas(databases[LAKE])
    copy.publish()
    superset.ask(databases[BY_SETTINGS], f"select count(*) from published.marts.{MART}")
    with pytest.raises(RefusedError, match="does not exist"):
        superset.ask(databases[BY_PATH], f"select count(*) from {of_the_version}.{MART}")


def test_columns_come_with_their_descriptions(superset: Superset, databases: dict[str, int]) -> None:
    columns = superset.columns(superset.dataset(databases[BY_SETTINGS], "published.marts", MART))
    assert "position_count" in columns
    assert all(columns.values()), columns


@pytest.mark.skipif(not chromium(), reason="no Chromium on this machine")
def test_a_chart_is_drawn_in_the_browser(superset: Superset, databases: dict[str, int], copy: Copy) -> None:
    dataset = superset.dataset(databases[BY_SETTINGS], "published.marts", "bias of cohorts by size", BIAS)
    chart = superset.chart("Where cohorts lean, by size", dataset, LINES)
    with browser() as opened:
        page = opened.new_page(viewport={"width": 1360, "height": 760})
        log_in(page, superset.address)
        page.goto(f"{superset.address}/explore/?slice_id={chart}")
        expect(page.locator(CANVAS)).to_be_visible(timeout=60_000)
        page.wait_for_function(IS_DRAWN)
        expect(page.locator("[data-test=row-count-label]").first).to_have_text(f"{len(SIZE_COHORTS) * HOURS} rows")
        if PICTURE:
            keep(page, Path(PICTURE))


def log_in(page: Page, address: str) -> None:
    page.goto(f"{address}/login/")
    page.locator("[data-test=username-input]").fill(USER)
    page.locator("[data-test=password-input]").fill(PASSWORD)
    page.locator("[data-test=login-button]").click()
    page.wait_for_url(lambda url: "/login" not in url)
