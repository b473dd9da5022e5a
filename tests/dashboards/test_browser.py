"""Every page in a real browser: with data, with none, and while the copy is replaced beneath it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from dashboards.pages.app import PAGES
from dashboards.pages.view import LOOK_EVERY_S
from orchestration.dashboard_command import LOOPBACK
from tests.dashboards.browser import browser, chromium, look, path_of, served, settle
from tests.dashboards.copies import NOW, publish, working_file
from tests.dashboards.test_pages import FIGURES

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not chromium(), reason="no Chromium on this machine: pages are looked at without a browser only"),
]
# Whoever looks is elsewhere: times stay UTC.
TOKYO = "Asia/Tokyo"
PUBLISHES = 10
WRONG = "[data-testid=stException], [data-testid=stAlert], [data-testid=stDialog]"
FIGURE = "[data-testid=stVegaLiteChart]"
CHART = f"{FIGURE} svg.marks"

each_page = pytest.mark.parametrize("name", list(PAGES))


@pytest.fixture(scope="module")
def opened() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def address(published: Path) -> Iterator[str]:
    with served(published) as found:
        yield found


@pytest.fixture
def page(opened: Browser) -> Iterator[Page]:
    """A page whose every error is an error of the test, as is a request to another host."""
    context = opened.new_context(timezone_id=TOKYO, viewport={"width": 1360, "height": 900}, accept_downloads=True)
    page, errors = context.new_page(), list[str]()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: errors.extend([request.url] if _is_elsewhere(request.url) else []))
    yield page
    context.close()
    assert errors == []


def _is_elsewhere(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme.startswith("http") and parts.hostname != LOOPBACK


@each_page
def test_a_page_with_data_draws_every_chart_within_its_width(name: str, address: str, page: Page) -> None:
    look(page, f"{address}/{path_of(name)}")
    charts, tables = FIGURES[name]
    assert (page.locator(CHART).count(), page.locator("[data-testid=stDataFrame]").count()) == (charts, tables)
    assert page.locator(WRONG).count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate(
        "figure => [...document.querySelectorAll(figure)].every("
        "f => f.querySelector('svg.marks').getBoundingClientRect().right <= f.getBoundingClientRect().right + 1)",
        FIGURE,
    )


@each_page
def test_a_page_without_a_copy_says_so_in_words(name: str, page: Page, tmp_path: Path) -> None:
    with served(tmp_path / "hypertracker.duckdb") as elsewhere:
        look(page, f"{elsewhere}/{path_of(name)}")
        expect(page.locator("[data-testid=stAlert]")).to_contain_text("Nothing is published")
        expect(page.locator("[data-testid=stMain]")).to_contain_text("htw demo")
        assert page.locator("[data-testid=stException]").count() == 0


def test_a_reading_under_the_pointer_has_its_time_in_utc(address: str, page: Page) -> None:
    look(page, f"{address}/")
    chart = page.locator(CHART).first
    box = chart.bounding_box()
    assert box
    # The line rises to its newest reading in the corner.
    chart.hover(position={"x": box["width"] - 8, "y": 4})
    expect(page.locator("#vg-tooltip-element")).to_contain_text("2026-03-24 0")


def test_what_is_shown_can_be_downloaded(address: str, page: Page) -> None:
    look(page, f"{address}/coin?coin=ETH")
    with page.expect_download() as download:
        page.locator("[data-testid=stDownloadButton] button").nth(2).click()
    lines = Path(download.value.path()).read_text("utf-8").splitlines()
    assert download.value.suggested_filename == "by-position-size-eth.csv"
    assert lines[0].startswith("size_bucket,position_count,")
    assert len(lines) == 11


def test_an_address_names_what_is_shown(address: str, page: Page) -> None:
    look(page, f"{address}/cohorts?axis=pnl&range=24+h")
    expect(page.locator("[data-testid=stMain]")).to_contain_text("pnl (all-time perp profit)")
    page.get_by_role("link", name="Coin", exact=True).click()
    page.wait_for_url("**/coin?*range=24*")
    expect(page.get_by_role("radio", name="24 h")).to_be_checked()


def test_pages_show_data_once_it_is_published(page: Page, tmp_path: Path) -> None:
    with served(tmp_path / "published" / "hypertracker.duckdb") as address, working_file(tmp_path) as connection:
        look(page, f"{address}/")
        expect(page.locator("[data-testid=stAlert]")).to_contain_text("Nothing is published")
        publish(connection, tmp_path)
        expect(page.locator(CHART)).to_have_count(FIGURES["Market"][0], timeout=(LOOK_EVERY_S + 20) * 1000)


def test_pages_show_old_or_new_while_the_copy_is_replaced(page: Page, tmp_path: Path) -> None:
    with working_file(tmp_path) as connection:
        stable = publish(connection, tmp_path)
        published, stop = list[int](), threading.Event()

        def publish_on() -> None:
            while not stop.is_set() or len(published) < PUBLISHES:
                published.append(len(published) + 1)
                publish(connection, tmp_path, NOW + timedelta(minutes=published[-1]))
                stop.wait(0.3)

        with served(stable) as address:
            publishing = threading.Thread(target=publish_on)
            publishing.start()
            try:
                for _ in range(2):
                    for name in PAGES:
                        look(page, f"{address}/{path_of(name)}")
                        assert page.locator(WRONG).count() == 0, page.locator(WRONG).first.text_content()
                        assert page.locator(CHART).count() == FIGURES[name][0]
            finally:
                stop.set()
                publishing.join()
            assert len(published) >= PUBLISHES
            newest = f"{NOW + timedelta(minutes=published[-1]):%Y-%m-%d %H:%M}"
            expect(page.locator("[data-testid=stSidebar]")).to_contain_text(newest, timeout=(LOOK_EVERY_S + 20) * 1000)
            settle(page)
            assert page.locator(WRONG).count() == 0


def test_a_picker_answers_at_once(address: str, page: Page) -> None:
    look(page, f"{address}/wallets")
    began = time.monotonic()
    page.locator("[data-testid=stSidebar]").get_by_role("radio", name="short").click()
    page.wait_for_url("**side=short*")
    settle(page)
    assert time.monotonic() - began < 5
