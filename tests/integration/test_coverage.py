"""Coverage: what was due by plan, what became of it, why, and what heals it; the same from SQL and from the registry."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest

from orchestration.hypertracker.datasets import BY_NAME, DATASETS
from orchestration.hypertracker.endpoint import NO_KNOWN_END
from orchestration.registering import prepare
from warehouse.coverage import CoverageRead, Tally, missing_slots, read_coverage

DAY = datetime(2026, 3, 24)
HOUR = timedelta(hours=1)
NEVER_ASKED = "nothing asked for it: the schedules were not running"


class Book:
    """A ledger and plans written by hand."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self.count = 0

    def plan(self, valid_from_at: datetime, name: str, *paces: tuple[str, int | None, list[str]]) -> None:
        self.connection.execute("insert into ops.plans values (?, ?, 100, 0, 10, 0.1)", [valid_from_at, name])
        for pace in paces:
            self.connection.execute("insert into ops.plan_paces values (?, ?, ?, ?)", [valid_from_at, *pace])

    def fetch(self, dataset: str, scope: str, slot: datetime, verdict: str = "loaded", **given: Any) -> None:
        self.count += 1
        values = {
            "fetch_id": f"f{self.count:06}", "dataset": dataset, "scope": scope, "slot": slot, "verdict": verdict,
            "finished_at": slot + timedelta(seconds=5), "reason": "" if verdict == "loaded" else f"it {verdict}", "mend": "",
            "payload_id": f"p{self.count}" if verdict == "loaded" else None, "requests_spent": 1, "source": dataset,
            "fetch_seq": self.count, "newest_at": slot if verdict == "loaded" else None,
        } | given  # fmt: skip
        names = ", ".join(values)
        marks = ", ".join("?" for _ in values)
        self.connection.execute(f"insert into ops.fetches ({names}) values ({marks})", list(values.values()))

    def rows(self, columns: str = "*", where: str = "true", since: datetime = DAY, until: datetime | None = None) -> list[Any]:
        sql = f"select {columns} from ops.slot_coverage($1, $2) where {where} order by dataset, scope, slot"
        return self.connection.execute(sql, [since, until or since + 24 * HOUR]).fetchall()

    def row(self, columns: str, dataset: str, scope: str, slot: datetime) -> tuple[Any, ...]:
        found: list[tuple[Any, ...]] = self.connection.execute(
            f"select {columns} from ops.slot_coverage($1, $2) where dataset = $3 and scope = $4 and slot = $5",
            [slot, slot + timedelta(days=1), dataset, scope, slot],
        ).fetchall()
        (only,) = found
        return only


@pytest.fixture
def book() -> Iterator[Book]:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        prepare(connection)
        yield Book(connection)


def test_without_plan_and_fetch_nothing_is_due(book: Book) -> None:
    assert book.rows() == []


def test_every_slot_of_a_wish_has_one_verdict(book: Book) -> None:
    book.plan(DAY, "pulse", ("coins", 1800, [""]), ("open_positions", 3600, ["BTC"]), ("open_positions", None, ["ETH"]))
    book.fetch("coins", "", DAY)
    found = book.rows("dataset, scope, slot, verdict, reason, mend, is_planned, is_missing", until=DAY + HOUR)
    assert len(found) == 12
    by_slot = {(row[0], row[1], row[2] - DAY): row[3:] for row in found}
    widen = "a larger HTW_PLAN, fewer HTW_COINS or HTW_DATASETS; see `htw plan`"
    quarter = timedelta(minutes=15)
    assert by_slot["coins", "", timedelta()] == ("loaded", "", "", True, False)
    assert by_slot["coins", "", quarter] == ("not_planned", "plan pulse polls it every 30 min", widen, False, False)
    assert by_slot["coins", "", 2 * quarter] == ("missed", NEVER_ASKED, "keep `make up` running", True, True)
    assert by_slot["open_positions", "BTC", timedelta()] == ("missed", NEVER_ASKED, "keep `make up` running", True, True)
    assert by_slot["open_positions", "BTC", quarter][:2] == ("not_planned", "plan pulse polls it every 1 h")
    assert by_slot["open_positions", "ETH", timedelta()][:2] == ("not_planned", "plan pulse does not afford it")


def test_a_slot_is_due_once_it_is_over_or_asked_for(book: Book) -> None:
    book.plan(DAY, "pulse", ("coins", 900, [""]))
    over = DAY + timedelta(minutes=15)
    assert book.rows(until=over - timedelta(seconds=1)) == []
    assert book.rows("slot", until=over) == [(DAY,)]
    book.fetch("coins", "", over, "failed")
    assert book.rows("slot, verdict, is_missing", until=over + timedelta(seconds=9))[1:] == [(over, "failed", True)]


def test_a_plan_holds_until_the_next_one(book: Book) -> None:
    book.plan(DAY, "free", ("coins", 3600, [""]), ("heatmap", 900, [""]))
    book.plan(DAY + HOUR, "pulse", ("coins", 900, [""]))
    planned = book.rows("dataset, slot", "is_planned", until=DAY + 2 * HOUR)
    quarters = [DAY + HOUR + timedelta(minutes=minutes) for minutes in (0, 15, 30, 45)]
    assert planned[:5] == [("coins", DAY), *(("coins", slot) for slot in quarters)]
    assert [slot for dataset, slot in planned if dataset == "heatmap"] == [slot - HOUR for slot in quarters]


def test_scopes_are_prefixes_and_units(book: Book) -> None:
    book.plan(DAY, "stream", *((dataset.name, 86_400, dataset.units(["BTC", "xyz:GOLD"])) for dataset in DATASETS))
    found = {row[0]: row[1] for row in book.rows("dataset, list(distinct scope)", "true group by dataset --")}
    assert {name: sorted(scopes) for name, scopes in found.items()} == {
        dataset.name: sorted(dataset.scopes(["BTC", "xyz:GOLD"])) for dataset in DATASETS
    }


def test_an_arrival_outweighs_a_later_failure_and_every_attempt_is_counted(book: Book) -> None:
    book.fetch("coins", "", DAY, "failed", requests_spent=3)
    book.fetch("coins", "", DAY)
    book.fetch("coins", "", DAY, "failed", finished_at=DAY + HOUR)
    assert book.rows("verdict, reason, attempts, requests_spent, is_missing") == [("loaded", "", 3, 5, False)]


def test_of_failures_the_last_one_counts(book: Book) -> None:
    book.fetch("coins", "", DAY, "failed")
    book.fetch("coins", "", DAY, "absent", finished_at=DAY + HOUR)
    assert book.rows("verdict, is_missing, recoverable_until") == [("absent", True, None)]


def test_what_the_provider_may_not_have_is_not_missing(book: Book) -> None:
    book.fetch("positions_export", "BTC", DAY, "absent")
    assert book.rows("verdict, has_arrived, is_missing") == [("absent", True, False)]


@pytest.mark.parametrize("planned", [True, False], ids=["within a plan", "before any plan"])
def test_a_file_of_the_whole_exchange_fills_its_slot_for_every_scope(book: Book, planned: bool) -> None:
    slot = datetime(2026, 3, 1)
    book.plan(slot if planned else DAY, "surge", ("order_snapshots", 300, ["BTC", "ETH"]))
    book.fetch("order_snapshots", "", slot, source="order_archive")
    book.fetch("order_snapshots", "BTC", slot, "failed")
    found = book.rows("scope, verdict, payload_id, attempts", "slot = timestamp '2026-03-01'", since=slot)
    assert found == [("BTC", "loaded", "p1", 1), ("ETH", "loaded", "p1", 0)]


@pytest.mark.parametrize(
    ("dataset", "scope", "answer_after", "covers"),
    [
        pytest.param("market_metrics", "", timedelta(hours=5, minutes=45), True, id="within its look-back"),
        pytest.param("market_metrics", "", timedelta(hours=6), False, id="the slot before lies out of reach"),
        pytest.param("position_metrics_export", "BTC", timedelta(days=13, hours=22), True, id="within its window"),
        pytest.param("position_metrics_export", "BTC", timedelta(days=14), False, id="out of its window"),
        pytest.param("wallets_equity_export", "", timedelta(days=400), True, id="all of the past"),
        pytest.param("coins", "", timedelta(minutes=15), False, id="no series"),
    ],
)
@pytest.mark.parametrize("own", [None, "missed", "failed"], ids=str)
def test_a_later_answer_covers_the_slots_before(
    book: Book, dataset: str, scope: str, answer_after: timedelta, covers: bool, own: str | None
) -> None:
    book.plan(DAY, "pulse", (dataset, BY_NAME[dataset].cadence.step // timedelta(seconds=1), [scope]))
    if own:
        book.fetch(dataset, scope, DAY, own)
    answer = DAY + answer_after
    book.fetch(dataset, scope, answer)
    verdict, reason, missing, attempts = book.row("verdict, reason, is_missing, attempts", dataset, scope, DAY)
    assert (verdict, missing, attempts) == ("loaded" if covers else own or "missed", not covers, int(own is not None))
    assert (reason == f"covered by the answer of {answer:%Y-%m-%d %H:%M}") == covers


def test_a_later_answer_of_another_scope_or_without_rows_covers_nothing(book: Book) -> None:
    book.plan(DAY, "pulse", ("coin_metrics", 900, ["BTC", "ETH"]))
    book.fetch("coin_metrics", "ETH", DAY + timedelta(minutes=15))
    book.fetch("coin_metrics", "BTC", DAY + timedelta(minutes=15), "empty", payload_id=None)
    assert book.row("verdict", "coin_metrics", "BTC", DAY) == ("missed",)
    assert book.row("verdict, payload_id", "coin_metrics", "ETH", DAY) == ("loaded", "p1")


def test_what_lies_below_the_floor_is_told_apart(book: Book) -> None:
    slot = datetime(2025, 4, 3)
    for scope, verdict in (("BTC", "empty"), ("ETH", "failed"), ("kPEPE", "loaded")):
        book.fetch("positions", scope, slot, verdict)
    nothing = "the provider has nothing before 2025-04-04 00:00"
    assert book.rows("scope, verdict, reason, recoverable_until, cost_to_fix", since=slot) == [
        ("BTC", "beyond_floor", nothing, None, None),
        ("ETH", "beyond_floor", nothing, None, None),
        ("kPEPE", "loaded", "", None, None),
    ]


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
@pytest.mark.parametrize(
    "slot",
    [DAY, datetime(2026, 3, 26), datetime(2026, 2, 1), datetime(2026, 1, 1), datetime(2025, 4, 3)],
    ids=lambda slot: f"{slot:%Y-%m-%d}",
)
def test_registry_and_coverage_agree_on_what_can_be_had(book: Book, dataset: Any, slot: datetime) -> None:
    (scope, *_) = dataset.scopes(["BTC"])
    book.fetch(dataset.name, scope, slot, "failed")
    until, cost = book.row("recoverable_until, cost_to_fix", dataset.name, scope, slot)
    expected = dataset.recoverable_until(slot.replace(tzinfo=UTC))
    assert until == (expected.replace(tzinfo=None) if expected else None)
    assert cost == (None if expected is None else dataset.requests_a_poll)
    assert (expected == NO_KNOWN_END) == (until == datetime(9999, 12, 31))


def test_a_dataset_that_is_late_is_seen_within_two_slots(book: Book) -> None:
    book.plan(DAY, "pulse", *((dataset.name, int(dataset.cadence.step.total_seconds()), ["BTC"]) for dataset in DATASETS))
    for dataset in DATASETS:
        late = DAY + 2 * dataset.cadence.step
        found = book.rows("slot", f"dataset = '{dataset.name}' and is_missing", until=late)
        assert (DAY,) in found, dataset.name


def test_missing_slots_carry_what_healing_needs(book: Book) -> None:
    book.plan(DAY, "pulse", ("order_snapshots", 300, ["BTC"]), ("coins", 900, [""]))
    since = DAY.replace(tzinfo=UTC)
    slots = missing_slots(book.connection, since, since + timedelta(minutes=10), ["order_snapshots"])
    assert [(one.slot, one.cost_to_fix, one.mend) for one in slots] == [
        (since, 1, "`htw heal`"),
        (since + timedelta(minutes=5), 1, "`htw heal`"),
    ]
    assert slots[0].recoverable_until == since + timedelta(days=30)


def test_gaps_join_slots_of_one_reason_with_no_arrival_between(book: Book) -> None:
    book.plan(DAY, "pulse", ("coins", 1800, [""]), ("order_snapshots", 300, ["BTC"]))
    half = timedelta(minutes=30)
    book.fetch("coins", "", DAY)
    book.fetch("coins", "", DAY + 3 * half, "failed")
    read = read_aware(book, DAY + 5 * half)
    coins = [gap for gap in read.gaps if gap.dataset == "coins"]
    assert [(gap.first.replace(tzinfo=None), gap.slot_count, gap.verdict, gap.cost_to_fix) for gap in coins] == [
        (DAY + half, 2, "missed", None),
        (DAY + 3 * half, 1, "failed", None),
        (DAY + 4 * half, 1, "missed", None),
    ]
    (orders,) = [gap for gap in read.gaps if gap.dataset == "order_snapshots"]
    assert (orders.slot_count, orders.cost_to_fix) == (30, 30)
    assert orders.recoverable_until == orders.first + timedelta(days=30)


def test_cells_count_what_was_due_and_what_can_still_be_healed(book: Book) -> None:
    book.plan(DAY, "pulse", ("order_snapshots", 1800, ["BTC", "ETH"]))
    book.fetch("order_snapshots", "BTC", DAY)
    read = read_aware(book, DAY + 2 * HOUR)
    late = read_aware(book, DAY + 2 * HOUR, now=DAY + timedelta(days=30, hours=1))
    assert list(read.cells["order_snapshots"].values()) == [Tally(4, 1, 3, 0, 20), Tally(4, 0, 4, 0, 20)]
    assert list(late.cells["order_snapshots"].values()) == [Tally(4, 1, 0, 3, 20), Tally(4, 0, 2, 2, 20)]


def read_aware(book: Book, until: datetime, now: datetime | None = None) -> CoverageRead:
    times = (DAY.replace(tzinfo=UTC), until.replace(tzinfo=UTC))
    return read_coverage(book.connection, *times, HOUR, (now or until).replace(tzinfo=UTC))


def test_a_day_of_the_whole_market_is_read_quickly(book: Book) -> None:
    coins = [f"coin{number}" for number in range(330)]
    book.plan(
        DAY - timedelta(days=30), "stream", *((d.name, int(d.cadence.step.total_seconds()), d.units(coins)) for d in DATASETS)
    )
    due_count = 330 * 288
    book.connection.execute(
        """insert into ops.fetches (fetch_id, dataset, scope, slot, finished_at, verdict, requests_spent)
           select 'f' || row_number() over (), 'order_snapshots', unnest($1), slot, slot, 'loaded', 1
           from generate_series($2::timestamp, $2 + interval 1439 minute, interval 5 minute) as slots (slot)""",
        [coins, DAY],
    )
    begun = time.perf_counter()
    (arrived, due) = book.rows("count(*) filter (has_arrived), count(*)", "dataset = 'order_snapshots' --")[0]
    assert (arrived, due) == (due_count, due_count)
    assert time.perf_counter() - begun < 5.0
