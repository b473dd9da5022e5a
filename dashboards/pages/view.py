"""What a page looks at: a version of the published copy and a stretch of time, and how completely that was seen.

Belongs here: following the published copy, the time picker, the words on completeness. Does not: panels (`panels`).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboards.published import Edition, Question, newest
from dashboards.queries.coverage import completeness
from dashboards.queries.spans import Span, extent
from warehouse.finding import find_published

LOOK_EVERY_S = 10
# The one that is shown and the one that replaces it; whoever still reads an older one keeps it open.
EDITIONS_HELD = 2
RANGES = {"24 h": timedelta(hours=24), "7 d": timedelta(days=7), "30 d": timedelta(days=30), "90 d": timedelta(days=90)}
ALL, CUSTOM = "all", "dates"


@dataclass(frozen=True)
class View:
    """A version and a span. Everything on a page is read through one view, so that it is of one version."""

    edition: Edition
    span: Span

    def ask(self, question: Question, *given: Hashable) -> pd.DataFrame:
        """The answer of this version; see `Edition.answer`."""
        return self.edition.answer(question, *given)

    def arrivals(self, dataset: str = "", coin: str | None = None) -> str:
        """How many slots of a dataset, or of all, arrived of those due in the span, in words."""
        due, arrived = self._due_and_arrived(dataset, coin)
        name = dataset or "all datasets"
        if not due:
            return f"{name}: no slot was due"
        if arrived < due:
            return f"{name}: {arrived:,} of {due:,} slots arrived"
        return f"{name}: all {due:,} slots arrived" if due > 1 else f"{name}: the one slot that was due arrived"

    def is_whole(self, dataset: str = "", coin: str | None = None) -> bool:
        """Whether slots were due in the span and all of them arrived."""
        due, arrived = self._due_and_arrived(dataset, coin)
        return 0 < due == arrived

    def _due_and_arrived(self, dataset: str, coin: str | None) -> tuple[int, int]:
        counts = self.ask(completeness, coin, self.span)
        counts = counts[counts["dataset"] == dataset] if dataset else counts
        return int(counts["due_count"].sum()), int(counts["arrived_count"].sum())


def current_edition() -> Edition:
    """The version published now. Raises `WarehouseError` in words for people."""
    return newest(find_published(), _opened)


def follow() -> None:
    """Look from time to time whether a newer version was published, and show it then."""
    _look(_version_now())


def pick_span(edition: Edition) -> Span:
    """The time range picker; ranges end with the newest thing known, not with the clock."""
    oldest, newest_at = _extent(edition)
    names = [*RANGES, ALL, CUSTOM]
    chosen = st.segmented_control("Time range", names, default="7 d", required=True, key="range", bind="query-params")
    if chosen == CUSTOM:
        return _pick_dates(oldest, newest_at)
    return Span(oldest if chosen == ALL else newest_at - RANGES[chosen or "7 d"], newest_at)


def _pick_dates(oldest: datetime, newest_at: datetime) -> Span:
    first = max(oldest.date(), newest_at.date() - timedelta(days=7))
    days = st.date_input("Days (UTC)", (first, newest_at.date()), min_value=oldest.date(), max_value=newest_at.date())
    # A range is one day long until its second day was picked.
    ends = days if isinstance(days, tuple) else (days,)
    since, until = (ends[0], ends[-1]) if ends else (first, newest_at.date())
    return Span(datetime.combine(since, time.min), datetime.combine(until, time.max))


def _extent(edition: Edition) -> tuple[datetime, datetime]:
    row = edition.answer(extent).iloc[0]
    until = edition.published_at if pd.isna(row["newest_at"]) else row["newest_at"].to_pydatetime()
    return (until - RANGES["7 d"] if pd.isna(row["oldest_at"]) else row["oldest_at"].to_pydatetime()), until


@st.cache_resource(max_entries=EDITIONS_HELD, show_spinner=False)
def _opened(real_path: str) -> Edition:
    return Edition(Path(real_path))


def _version_now() -> str:
    return str(find_published().resolve())


@st.fragment(run_every=LOOK_EVERY_S)
def _look(shown: str) -> None:
    if _version_now() != shown:
        st.rerun()
