"""The frame around every page: navigation, the time range, which version is shown, errors in words.

Belongs here: the list of pages. Does not: what is on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from dashboards.pages import cohorts, coin, coverage, market, wallets
from dashboards.pages.view import View, current_edition, follow, pick_span
from warehouse.connection import WarehouseError

PAGES: dict[str, Callable[[View], None]] = {
    "Market": market.show,
    "Coin": coin.show,
    "Cohorts": cohorts.show,
    "Wallets": wallets.show,
    "Coverage": coverage.show,
}
ICONS = {
    "Market": "monitoring", "Coin": "toll", "Cohorts": "groups", "Wallets": "account_balance_wallet", "Coverage": "grid_on",
}  # fmt: skip
# Drawn here: Streamlit would have the browser fetch an icon of its own from another host.
TAB_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="#2563eb">'
    '<path d="M3 14h4v7H3zM10 9h4v12h-4zM17 3h4v18h-4z"/></svg>'
)
STYLE = (
    "<style>.block-container {padding-top: 4.5rem; padding-bottom: 3rem} [data-testid=stMetricValue] {font-size: 1.6rem}</style>"
)


def main() -> None:
    """One look at whichever page the address names."""
    st.set_page_config(page_title="HyperTracker warehouse", page_icon=TAB_ICON, layout="wide")
    st.html(STYLE)
    views: list[View] = []
    pages = [_page(name, views) for name in PAGES]
    chosen = st.navigation(pages, position="top")
    # The pickers of the frame stand outside of the page, so that they stay as they are from page to page.
    with _spoken_errors(chosen.title):
        views.append(_view())
        chosen.run()


def show(name: str) -> None:
    """One page alone, without navigation."""
    with _spoken_errors(name):
        PAGES[name](_view())


def _page(name: str, views: list[View]) -> st.Page:
    icon = f":material/{ICONS[name]}:"
    return st.Page(lambda: PAGES[name](views[0]), title=name, icon=icon, url_path=name.lower(), default=name == "Market")


def _view() -> View:
    """The newest version over the time range that was picked."""
    follow()
    edition = current_edition()
    with st.sidebar:
        span = pick_span(edition)
        st.caption(f"Published {edition.published_at:%Y-%m-%d %H:%M:%S} UTC. The page follows by itself. All times are UTC.")
    return View(edition, span)


@contextmanager
def _spoken_errors(name: str) -> Iterator[None]:
    """Errors that a person can mend, in words and with what mends them."""
    try:
        yield
    except WarehouseError as error:
        st.subheader(name)
        st.warning(f"{error.says[:1].upper()}{error.says[1:]}.")
        if error.mend:
            st.markdown(f"What mends it: {error.mend}. This page shows the data as soon as it is there.")
