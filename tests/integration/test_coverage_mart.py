"""The coverage mart replaces the days that changed, and is then what a build from nothing would give."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestration import modelling
from orchestration.registering import prepare
from tests.integration.test_coverage import DAY, Book
from warehouse.connection import open_writer

HOUR, QUARTER = timedelta(hours=1), timedelta(minutes=15)
STEPS = {"coins": QUARTER, "market_metrics": QUARTER, "wallets_equity_export": 2 * HOUR, "segments": 24 * HOUR}
PLAN = [(dataset, step // timedelta(seconds=1), [""]) for dataset, step in STEPS.items()]


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., list[Any]]:
    """Writes to the ledger, builds the mart, and gives its rows."""
    file = tmp_path / "warehouse.duckdb"

    def built(write: Callable[[Book], None] = lambda _: None, full_refresh: bool = False) -> list[Any]:
        with open_writer(file) as connection:
            prepare(connection)
            connection.execute(modelling.BUILDS_TABLE)
            known = modelling.fingerprint_of(modelling.prepare_manifest())
            connection.execute("insert into ops.whole_builds values (?)", [known])
            count = connection.execute("select count(*) from ops.fetches").fetchone()
            book = Book(connection)
            book.count = count[0] if count else 0
            write(book)
        results = modelling.build(file, tmp_path / "dbt", ["fct_slot_coverage"])
        modelling.raise_for_failures(results)
        if full_refresh:
            drop_mart(file)
            modelling.raise_for_failures(modelling.build(file, tmp_path / "dbt", ["fct_slot_coverage"]))
        with open_writer(file) as connection:
            return connection.execute("select * exclude (_fetch_seq) from marts.fct_slot_coverage order by all").fetchall()

    return built


def drop_mart(file: Path) -> None:
    with open_writer(file) as connection:
        connection.execute("drop table marts.fct_slot_coverage")


def polled(book: Book, start: datetime, end: datetime, *datasets: str) -> None:
    for dataset in datasets or STEPS:
        slot = start
        while slot < end:
            if (slot - DAY) % STEPS[dataset] == timedelta():
                book.fetch(dataset, "", slot)
            slot += QUARTER


@pytest.mark.long
def test_replaced_days_are_those_of_a_build_from_nothing(build: Callable[..., list[Any]]) -> None:
    def first_day(book: Book) -> None:
        book.plan(DAY, "pulse", *PLAN)
        polled(book, DAY, DAY + 20 * HOUR)

    def after_an_outage(book: Book) -> None:
        polled(book, DAY + 50 * HOUR, DAY + 51 * HOUR)

    def healed_out_of_order(book: Book) -> None:
        for hours in (45, 25):
            book.fetch("market_metrics", "", DAY + hours * HOUR, finished_at=DAY + 52 * HOUR)

    def another_plan(book: Book) -> None:
        book.plan(DAY + 51 * HOUR, "free", ("coins", 3600, [""]), ("segments", None, [""]))
        polled(book, DAY + 52 * HOUR, DAY + 76 * HOUR, "coins")

    def long_ago(book: Book) -> None:
        book.fetch("market_metrics", "", DAY - 30 * 24 * HOUR, finished_at=DAY + 77 * HOUR)
        book.fetch("wallets_equity_export", "", DAY + 74 * HOUR, finished_at=DAY + 78 * HOUR)

    counts = []
    for write in (first_day, after_an_outage, healed_out_of_order, another_plan, long_ago, lambda _: None):
        rows = build(write)
        counts.append(len(rows))
        assert rows == build(full_refresh=True), write
    assert counts == sorted(counts)
    assert counts[0] < counts[1] < counts[3] < counts[4]


def test_a_day_that_nothing_touched_is_left_as_it_is(build: Callable[..., list[Any]], tmp_path: Path) -> None:
    def three_days(book: Book) -> None:
        book.plan(DAY, "pulse", *PLAN)
        polled(book, DAY, DAY + 72 * HOUR)

    build(three_days)
    build(lambda book: polled(book, DAY + 72 * HOUR, DAY + 73 * HOUR))
    with open_writer(tmp_path / "warehouse.duckdb") as connection:
        runs = connection.execute(
            "select slot::date - date '2026-03-24', count(distinct _fetch_seq) filter (_fetch_seq = newest) "
            "from marts.fct_slot_coverage, (select max(_fetch_seq) as newest from marts.fct_slot_coverage) group by 1 order by 1"
        ).fetchall()
    assert runs == [(0, 0), (1, 0), (2, 1), (3, 1)]
