"""The frame around every page: navigation, the time range, which version is shown, errors in words.

Belongs here: the list of pages. Does not: what is on them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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
STYLE = (
    "<style>.block-container {padding-top: 4.5rem; padding-bottom: 3rem} [data-testid=stMetricValue] {font-size: 1.6rem}</style>"
)


def main() -> None:
    """One look at whichever page the address names."""
    st.set_page_config(page_title="HyperTracker warehouse", page_icon=":material/monitoring:", layout="wide")
    st.html(STYLE)
    pages = [
        st.Page(
            partial(show, name),
            title=name,
            icon=f":material/{ICONS[name]}:",
            url_path=name.lower(),
            default=name == "Market",
        )
        for name in PAGES
    ]
    st.navigation(pages, position="top").run()


def show(name: str) -> None:
    """One page, or in plain words why it cannot be shown."""
    follow()
    try:
        edition = current_edition()
        with st.sidebar:
            view = View(edition, pick_span(edition))
            st.caption(f"Published {edition.published_at:%Y-%m-%d %H:%M:%S} UTC. The page follows by itself. All times are UTC.")
        PAGES[name](view)
    except WarehouseError as error:
        st.subheader(name)
        st.warning(f"{error.says[:1].upper()}{error.says[1:]}.")
        if error.mend:
            st.markdown(f"What mends it: {error.mend}. This page shows the data as soon as it is there.")
