"""Pictures of every page for the README: `python -m tests.dashboards.screenshots PUBLISHED_FILE FOLDER`, run by `make docs`.

Belongs here: what is photographed, and how small it gets. Does not: whether a page is right (`test_browser`).
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from dashboards.pages.app import PAGES
from tests.dashboards.browser import browser, chromium, look, path_of, served, settle

WIDTH, LEAST_HEIGHT, MOST_HEIGHT = 1360, 700, 2700
COLOURS = 255
HEIGHT_OF_ALL = "document.querySelector('[data-testid=stMainBlockContainer]').scrollHeight"


def main(file: Path, folder: Path) -> None:
    """One picture a page, `<page>.png`."""
    if not chromium():
        print("screenshots skipped: no Chromium on this machine (install chromium, then run `make docs` again)")
        return
    folder.mkdir(parents=True, exist_ok=True)
    with served(file.absolute()) as address, browser() as opened:
        for name in PAGES:
            page = opened.new_page(viewport={"width": WIDTH, "height": LEAST_HEIGHT})
            look(page, f"{address}/{path_of(name)}")
            _photograph(page, folder / f"{name.lower()}.png")
            page.close()


def _photograph(page: Page, file: Path) -> None:
    page.set_viewport_size({"width": WIDTH, "height": min(int(page.evaluate(HEIGHT_OF_ALL)), MOST_HEIGHT)})
    settle(page)
    keep(page, file)


def keep(page: Page, file: Path) -> None:
    """A small picture of what is seen, once it has come to rest."""
    # Charts take their new width over some frames.
    page.wait_for_timeout(1500)
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").quantize(COLOURS).save(file, optimize=True)
    print(f"{file}: {file.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
