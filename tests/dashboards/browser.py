"""The pages in a real browser: the server that `htw dashboard` becomes, and a headless Chromium that looks at it.

Belongs here: starting both, and when a page has settled. Does not: what is expected of a page (`test_browser`), pictures for the
README (`screenshots`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from dashboards.pages.app import PAGES
from orchestration.dashboard_command import LOOPBACK, command
from orchestration.services import free_port
from tests.integration.processes import end

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
START_S, SETTLE_MS = 60, 30_000
# A page is done when its script is, nothing stale is left, and every chart has been drawn.
SETTLED = """() => document.querySelector('[data-test-script-state="notRunning"]')
    && document.querySelector('[data-testid=stMain] :is([data-testid=stCaptionContainer], [data-testid=stAlert])')
    && !document.querySelector('[data-testid=stSkeleton], [data-stale=true]')
    && [...document.querySelectorAll('[data-testid=stVegaLiteChart]')].every(c => c.querySelector('.marks'))"""


def chromium() -> str | None:
    """The browser of this machine; None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def served(file: Path) -> Iterator[str]:
    """The address of the dashboards over a published file, which need not exist."""
    port = free_port()
    environment = {**os.environ, "HTW_PUBLISHED": str(file)}
    # As in the container, it has no home that it could write to.
    environment["HOME"] = "/proc/none"
    server = subprocess.Popen(
        command(LOOPBACK, port), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    address = f"http://{LOOPBACK}:{port}"
    try:
        _await(f"{address}/_stcore/health", server)
        yield address
    finally:
        end(server)
        server.communicate()


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium. The caller has seen that there is one."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield opened
        opened.close()


def look(page: Page, address: str) -> None:
    """Open an address and wait until all of it is there."""
    page.goto(address)
    settle(page)


def path_of(name: str) -> str:
    """Where a page is; the first has no name of its own."""
    return "" if name == next(iter(PAGES)) else name.lower()


def settle(page: Page) -> None:
    """Wait until the page is done."""
    page.wait_for_function(SETTLED, timeout=SETTLE_MS)


def _await(address: str, server: subprocess.Popen[str]) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        with suppress(OSError):
            urllib.request.urlopen(address, timeout=1)
            return
        if server.poll() is not None:
            raise AssertionError(f"the server ended: {server.stderr.read() if server.stderr else ''}")
        time.sleep(0.1)
    raise AssertionError(f"nothing answers at {address}")
