"""The budget of requests: what is granted, what waits, what is refused, and what the server's word changes."""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import sqlite3
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.budget import Budget, Grant, Granted, Later, Refused
from orchestration.hypertracker.errors import QuotaHeldError, QuotaSpentError, SlotOverError
from orchestration.planning.plans import Plan, monthly
from orchestration.planning.urgency import FIRST, Claim, Demand, Urgency
from orchestration.planning.windows import day_at, enough_from, held_back, month_at

NOON = datetime(2026, 3, 26, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 27, tzinfo=UTC)
NEXT_MONTH = datetime(2026, 4, 1, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
PERISHABLE, FRESHNESS, BACKFILL = Urgency


class FakeClock:
    """Stands still until it is moved or waited on."""

    def __init__(self, now: datetime = NOON) -> None:
        self.present = now

    def now(self) -> datetime:
        return self.present

    async def wait_until(self, moment: datetime) -> None:
        self.present = max(self.present, moment)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock) -> Callable[..., Budget]:
    """A budget as each process makes its own; all of them share one file."""

    def budget(per_day: int = 100, per_minute: int = 0, demand: Demand | None = None, plan: Plan | None = None) -> Budget:
        return Budget(tmp_path / "budget.sqlite", plan or Plan("own", per_day, per_minute), clock, demand)

    return budget


Make = Callable[..., Budget]


def granted(budget: Budget, urgency: Urgency = PERISHABLE, most: int = 1000) -> list[int]:
    """The tickets of as many requests as are granted at once."""
    tickets = []
    while len(tickets) < most and isinstance(grant := budget.grant(urgency), Granted):
        tickets.append(grant.ticket)
    return tickets


def refused(grant: Grant) -> Refused:
    assert isinstance(grant, Refused)
    return grant


def test_a_day_has_its_limit_and_the_next_one_has_it_again(make: Make, clock: FakeClock) -> None:
    budget = make(per_day=3)
    assert len(set(granted(budget))) == 3
    assert refused(budget.grant(PERISHABLE)).until == MIDNIGHT
    clock.present = MIDNIGHT - SECOND
    assert not granted(budget)
    clock.present = MIDNIGHT
    assert len(granted(budget)) == 3


def test_a_month_is_the_limit_where_the_plan_has_one(make: Make, clock: FakeClock) -> None:
    budget = make(plan=monthly("own", 62, 0))  # two a day on average, which is no limit
    assert len(granted(budget, most=60)) == 60
    clock.present = NEXT_MONTH - SECOND
    assert len(granted(budget)) == 2
    assert refused(budget.grant(PERISHABLE)).until == NEXT_MONTH
    clock.present = NEXT_MONTH
    assert budget.left().this_month == 62
    assert budget.left().today is None
    assert granted(budget)


def test_what_was_spent_is_known_after_a_restart_and_to_every_process(make: Make) -> None:
    assert len(granted(make(per_day=5), most=3)) == 3
    assert len(granted(make(per_day=5))) == 2


def test_several_requests_are_granted_together_or_not_at_all(make: Make) -> None:
    budget = make(per_day=5)
    assert isinstance(budget.grant(PERISHABLE, 3), Granted)
    assert isinstance(budget.grant(PERISHABLE, 3), Refused)
    assert isinstance(budget.grant(PERISHABLE, 2), Granted)
    with pytest.raises(ValueError, match="not possible"):
        make(per_minute=5).grant(BACKFILL, 3)


def test_a_place_is_free_a_minute_after_the_answer_began(make: Make, clock: FakeClock) -> None:
    budget = make(per_minute=2)
    first, second = granted(budget)
    clock.present += 10 * SECOND
    budget.answered(first)
    clock.present += 10 * SECOND
    budget.answered(first)
    budget.answered(second)
    wait = budget.grant(PERISHABLE)
    assert isinstance(wait, Later)
    assert NOON + 70 * SECOND <= wait.moment < NOON + 71 * SECOND
    clock.present = NOON + 70 * SECOND
    assert not granted(budget)
    clock.present = wait.moment
    assert len(granted(budget)) == 1


def test_a_place_without_an_answer_is_free_after_a_while(make: Make, clock: FakeClock) -> None:
    budget = make(per_minute=2)
    assert len(granted(budget)) == 2
    clock.present += 100 * SECOND
    assert isinstance(budget.grant(PERISHABLE), Later)
    clock.present += 30 * SECOND
    assert len(granted(make(per_minute=2))) == 2


def test_waiting_takes_the_next_place_of_the_minute(make: Make, clock: FakeClock) -> None:
    budget = make(per_minute=1)
    budget.answered(asyncio.run(budget.take(Claim(PERISHABLE))))
    assert asyncio.run(budget.take(Claim(PERISHABLE)))
    assert NOON + MINUTE < clock.present < NOON + MINUTE + SECOND


def test_backfill_has_half_of_the_minute(make: Make) -> None:
    budget = make(per_minute=5)
    assert len(granted(budget, BACKFILL)) == 2
    assert len(granted(budget, FRESHNESS)) == 3
    assert isinstance(budget.grant(PERISHABLE), Later)
    assert budget.left().this_minute == 0


# At noon, half of the day's demand is still to come: urgency, and what of 100 it may spend.
SHARES = {"perishable": (PERISHABLE, 100), "freshness": (FRESHNESS, 69), "backfill": (BACKFILL, 64)}


@pytest.mark.parametrize("case", SHARES, ids=str)
def test_each_urgency_leaves_what_the_more_urgent_need(make: Make, case: str) -> None:
    urgency, share = SHARES[case]
    budget = make(demand=Demand(perishable_a_day=61, freshness_a_day=10))
    assert len(granted(budget, urgency)) == share
    # A part of a request counts as one: 30.5 and 35.5 are kept.
    assert len(granted(budget)) == 100 - share


def test_a_month_keeps_the_demand_of_its_days(make: Make) -> None:
    # Five and a half days are left.
    budget = make(plan=monthly("own", 100, 0), demand=Demand(perishable_a_day=10))
    assert len(granted(budget, FRESHNESS)) == 45
    assert len(granted(budget)) == 55


def test_what_is_held_back_is_free_when_it_says(make: Make, clock: FakeClock) -> None:
    budget = make(demand=Demand(perishable_a_day=48))
    assert len(granted(budget, FRESHNESS)) == 76
    with pytest.raises(QuotaHeldError, match="76 of the 100 requests of this UTC day are spent, and 24 are kept") as caught:
        asyncio.run(budget.take(Claim(FRESHNESS)))
    assert caught.value.until == NOON + HOUR / 2
    clock.present = caught.value.until - SECOND
    assert not granted(budget, FRESHNESS)
    clock.present = caught.value.until
    assert len(granted(budget, FRESHNESS)) == 1


def test_a_spent_quota_says_how_much_and_until_when(make: Make) -> None:
    budget = make(per_day=2)
    granted(budget)
    with pytest.raises(QuotaSpentError) as caught:
        asyncio.run(budget.take(Claim(PERISHABLE)))
    says = "2 of the 2 requests of this UTC day are spent; asked again from 2026-03-27 00:00:00 UTC"
    assert str(caught.value) == says
    assert not isinstance(caught.value, QuotaHeldError)


def test_a_refund_gives_back_once(make: Make) -> None:
    budget = make(per_day=2, per_minute=2)
    first, _ = granted(budget)
    budget.refund(first)
    budget.refund(first)
    assert (budget.left().today, budget.left().this_minute) == (1, 1)
    assert len(granted(budget)) == 1


def test_a_refund_after_midnight_is_of_the_day_before(make: Make, clock: FakeClock) -> None:
    clock.present = MIDNIGHT - SECOND
    budget = make(per_day=2)
    (ticket,) = granted(budget, most=1)
    clock.present = MIDNIGHT
    assert granted(budget, most=1)
    budget.refund(ticket)
    assert budget.left().today == 1
    assert budget.spent_in(NOON.date()) == {}


def test_requests_are_counted_by_day_and_urgency(make: Make, clock: FakeClock) -> None:
    budget = make()
    granted(budget, PERISHABLE, most=3)
    granted(budget, BACKFILL, most=2)
    clock.present = MIDNIGHT
    granted(budget, FRESHNESS, most=1)
    assert budget.spent_in(NOON.date()) == {PERISHABLE: 3, BACKFILL: 2}
    assert budget.spent_in(MIDNIGHT.date()) == {FRESHNESS: 1}


def test_a_429_keeps_every_process_quiet(make: Make, clock: FakeClock) -> None:
    make().rate_limited(42)
    assert make().grant(PERISHABLE) == Later(NOON + 42 * SECOND)
    make().rate_limited(7)
    clock.present += 41 * SECOND
    assert not granted(make())
    clock.present += SECOND
    assert granted(make(), most=1)


# What the server says, and from when it is asked again.
CLOSINGS = {
    "nothing more": (QuotaSpentError("", "day"), MIDNIGHT),
    "a month": (QuotaSpentError("", "month"), MIDNIGHT),
    "when": (QuotaSpentError("", "day", until=NOON + HOUR), NOON + HOUR),
    "when, of a month": (QuotaSpentError("", "month", limit=4, current=4, until=NOON + 3 * DAY), NOON + 3 * DAY),
    "when, in the past": (QuotaSpentError("", "day", until=NOON - HOUR), MIDNIGHT),
    "figures of a day go before its time": (QuotaSpentError("", "day", limit=4, current=4, until=NOON + HOUR), MIDNIGHT),
    "figures of a month do not": (QuotaSpentError("", "month", limit=4, current=4), MIDNIGHT),
}


@pytest.mark.parametrize("case", CLOSINGS, ids=str)
def test_a_quota_that_the_server_calls_spent_is_closed_for_every_process(make: Make, clock: FakeClock, case: str) -> None:
    error, until = CLOSINGS[case]
    granted(make(), most=1)
    make().spent(error)
    left = make().left()
    assert left.closed_until is not None
    assert left.reason
    for urgency in Urgency:
        assert isinstance(make().grant(urgency), Refused)
    clock.present = until - SECOND
    assert not granted(make())
    clock.present = until
    assert granted(make(), most=1)


def test_a_closing_is_not_made_shorter_by_a_later_one(make: Make) -> None:
    make().spent(QuotaSpentError("", "day"))
    make().spent(QuotaSpentError("", "day", until=NOON + HOUR))
    assert make().left().closed_until == MIDNIGHT


def test_the_servers_figures_count_where_they_are_worse(make: Make, clock: FakeClock) -> None:
    budget = make(per_day=100)
    granted(budget, most=10)
    budget.spent(QuotaSpentError("", "day", limit=200, current=5, until=NOON + HOUR))
    assert budget.left().today == 90
    budget.spent(QuotaSpentError("", "day", limit=50, current=30, until=NOON + HOUR))
    assert budget.left().today == 20
    clock.present = NOON + HOUR
    assert len(granted(budget)) == 20
    clock.present = MIDNIGHT
    assert budget.left().today == 100


# How far the clock is set back.
@pytest.mark.parametrize("back", [SECOND, HOUR, 12 * HOUR + SECOND, 40 * DAY], ids=str)
def test_a_clock_that_is_set_back_frees_nothing_and_does_not_stop_the_minute(
    make: Make, clock: FakeClock, back: timedelta
) -> None:
    budget = make(per_day=4, per_minute=2)
    for ticket in granted(budget):
        budget.answered(ticket)
    clock.present -= back
    assert budget.left().today == 2
    assert isinstance(budget.grant(PERISHABLE), Later)
    clock.present += 150 * SECOND
    assert len(granted(budget)) == 2
    clock.present += 150 * SECOND
    assert isinstance(budget.grant(PERISHABLE), Refused)


def test_a_clock_that_is_set_back_in_the_quiet_does_not_prolong_it(make: Make, clock: FakeClock) -> None:
    budget = make()
    budget.rate_limited(60)
    clock.present -= DAY
    wait = budget.grant(PERISHABLE)
    assert isinstance(wait, Later)
    assert wait.moment <= clock.present + 2 * MINUTE


def test_a_clock_that_was_far_ahead_for_a_moment_loses_nothing(make: Make, clock: FakeClock) -> None:
    budget = make(per_day=4)
    granted(budget, most=2)
    clock.present += 400 * DAY
    granted(budget, most=1)
    clock.present -= 400 * DAY
    assert budget.left().today == 1


def test_old_entries_are_forgotten(make: Make, clock: FakeClock, tmp_path: Path) -> None:
    budget = make()
    for _ in range(70):
        granted(budget, most=1)
        clock.present += DAY
    with sqlite3.connect(tmp_path / "budget.sqlite") as db:
        assert db.execute("select count(*) from places").fetchone()[0] <= 1
        assert 62 <= db.execute("select count(*) from days").fetchone()[0] <= 64


# What the file is turned into.
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "no database": lambda _: b"not a database at all" * 400,
    "torn": lambda whole: whole[:4096] + random.Random(1).randbytes(len(whole) - 4096),
}


@pytest.mark.parametrize("case", DAMAGES, ids=str)
def test_a_damaged_file_is_kept_aside_and_begun_anew(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    caplog.set_level(logging.WARNING, logger="budget")
    file, other = tmp_path / "budget.sqlite", make(per_day=5)
    granted(make(per_day=5), most=3)
    damaged = DAMAGES[case](file.read_bytes())
    file.write_bytes(damaged)
    assert len(granted(make(per_day=5), most=2)) == 2
    assert len(granted(other)) == 3
    (aside,) = tmp_path.glob("budget.sqlite.damaged-*Z")
    assert aside.read_bytes() == damaged
    assert str(file) in caplog.text


def test_a_file_that_is_moved_away_is_noticed_by_every_process(make: Make, tmp_path: Path) -> None:
    one, other = make(per_day=5), make(per_day=5)
    granted(one, most=1)
    granted(other, most=1)
    for file in tmp_path.glob("budget.sqlite*"):
        file.rename(tmp_path / f"old-{file.name}")
    assert len(granted(one, most=2)) == 2
    assert len(granted(other)) == 3


def test_looking_makes_no_file(make: Make, tmp_path: Path) -> None:
    left = make(per_day=7).left()
    assert (left.today, left.this_month, left.this_minute, left.closed_until) == (7, None, None, None)
    assert not list(tmp_path.iterdir())


def test_windows_are_calendar_ones() -> None:
    assert day_at(NOON).end == MIDNIGHT
    assert (month_at(NOON).start, month_at(NOON).end) == (datetime(2026, 3, 1, tzinfo=UTC), NEXT_MONTH)
    assert month_at(datetime(2026, 12, 31, tzinfo=UTC)).end == datetime(2027, 1, 1, tzinfo=UTC)
    assert month_at(datetime(2028, 2, 29, tzinfo=UTC)).end == datetime(2028, 3, 1, tzinfo=UTC)


@given(st.integers(1, 10**6), st.integers(0, 86_400 * 10**6 - 1), st.integers(0, 10**6))
def test_what_is_held_back_suffices_from_the_moment_that_is_named(a_day: int, at_us: int, left: int) -> None:
    window = day_at(NOON)
    now = window.start + timedelta(microseconds=at_us)
    held = held_back(a_day, window, now)
    assert held * DAY >= a_day * (window.end - now) > (held - 1) * DAY
    if left < held:
        assert now <= (named := enough_from(left, a_day, window)) <= window.end
        assert held_back(a_day, window, named + timedelta(microseconds=1)) <= left


LATENCIES_S = st.one_of(st.floats(0, 2), st.floats(0, 40))
# How long until the next process asks, how long the way to the server and back takes, and whether the answer is ever noted.
SENT = st.tuples(st.floats(0, 20), LATENCIES_S, LATENCIES_S, st.booleans())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.lists(SENT, max_size=30), st.booleans())
def test_no_minute_of_the_server_holds_more_than_the_limit(
    limit: int, requests: list[tuple[float, float, float, bool]], is_greedy: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        received = simulated(Path(folder), limit, requests, is_greedy)
    assert len(received) == len(requests)
    received.sort()
    for first, last in zip(received, received[limit:], strict=False):
        assert last - first > MINUTE
    by_minute = [moment.replace(second=0, microsecond=0) for moment in received]
    assert all(by_minute.count(minute) <= limit for minute in by_minute)


def simulated(folder: Path, limit: int, requests: list[tuple[float, float, float, bool]], is_greedy: bool) -> list[datetime]:
    """When the server receives each request; those that a full minute keeps waiting ask again when they are told to."""
    clock = FakeClock()
    budget = Budget(folder / "budget.sqlite", Plan("own", 10**6, limit), clock)
    received, at, events = [], NOON, list[tuple[datetime, int, int, tuple[float, float, bool]]]()
    for number, (pause, there, back, is_noted) in enumerate(requests):
        at += timedelta(seconds=0 if is_greedy else pause)
        heapq.heappush(events, (at, number, 0, (there, back, is_noted)))
    while events:
        clock.present, number, ticket, (there, back, is_noted) = heapq.heappop(events)
        if ticket:
            budget.answered(ticket)
            continue
        match budget.grant(PERISHABLE):
            case Granted(ticket):
                arrival = clock.present + timedelta(seconds=there)
                received.append(arrival)
                if is_noted:
                    heapq.heappush(events, (arrival + timedelta(seconds=back), number, ticket, (there, back, is_noted)))
            case Later(moment):
                assert moment > clock.present
                heapq.heappush(events, (moment, number, 0, (there, back, is_noted)))
    return received


def line(tmp_path: Path) -> list[tuple[int, int]]:
    """Urgency and number of those who wait, in their order."""
    with sqlite3.connect(tmp_path / "budget.sqlite") as db:
        return db.execute("select urgency, requests from waiting order by urgency, ends_at").fetchall()


class Crowd:
    """Tasks that wait for one minute, each with a budget of its own as processes have; time passes when all of them wait."""

    def __init__(self, tmp_path: Path, per_minute: int) -> None:
        self.served: list[str] = []
        self._file, self._plan, self._clock = tmp_path / "budget.sqlite", Plan("own", 10**6, per_minute), FakeClock()
        self._sleepers: list[tuple[datetime, int, asyncio.Event]] = []

    def now(self) -> datetime:
        return self._clock.present

    async def wait_until(self, moment: datetime) -> None:
        awake = asyncio.Event()
        heapq.heappush(self._sleepers, (moment, id(awake), awake))
        await awake.wait()

    def budget(self) -> Budget:
        return Budget(self._file, self._plan, self)

    async def serve(self, claims: dict[str, Claim], each: int = 1) -> None:
        """Serve all, who begin to wait in this order, with so many requests each; every answer comes at once."""
        tasks = [asyncio.create_task(self._wait(name, claim, each)) for name, claim in claims.items()]
        while not all(task.done() for task in tasks):
            for _ in range(20):
                await asyncio.sleep(0)
            if self._sleepers:
                self._clock.present, _, awake = heapq.heappop(self._sleepers)
                awake.set()

    async def _wait(self, name: str, claim: Claim, each: int) -> None:
        budget = self.budget()
        for behind in reversed(range(each)):
            budget.answered(await budget.take(claim, behind))
            self.served.append(name)


SOON, LATER = Claim(PERISHABLE, NOON + 5 * MINUTE), Claim(PERISHABLE, NOON + HOUR)


def test_of_those_who_wait_what_ends_first_is_served_first(tmp_path: Path) -> None:
    crowd = Crowd(tmp_path, per_minute=1)
    assert granted(crowd.budget())
    fresh = Claim(FRESHNESS, NOON + 10 * MINUTE)
    asyncio.run(crowd.serve({"heal": Claim(BACKFILL), "fresh": fresh, "endless": FIRST, "later": LATER, "soon": SOON}))
    assert crowd.served == ["soon", "later", "endless", "fresh", "heal"]


def test_a_sweep_is_served_whole_before_one_that_ends_later(tmp_path: Path) -> None:
    crowd = Crowd(tmp_path, per_minute=2)
    assert granted(crowd.budget())
    asyncio.run(crowd.serve({"later": LATER, "soon": SOON}, each=4))
    assert crowd.served == ["soon"] * 4 + ["later"] * 4
    assert not line(tmp_path)


def test_more_places_than_those_before_need_are_free_for_others(make: Make, tmp_path: Path) -> None:
    assert asyncio.run(make(per_minute=5).take(SOON, behind=2))
    assert line(tmp_path) == [(PERISHABLE, 2)]
    assert len(granted(make(per_minute=5), FRESHNESS)) == 2
    assert isinstance(make(per_minute=5).grant(PERISHABLE), Later)
    assert isinstance(make(per_minute=5).grant(PERISHABLE, ends_at=SOON.ends_at), Granted)


def test_who_was_killed_while_waiting_holds_up_nobody_for_long(make: Make, clock: FakeClock, tmp_path: Path) -> None:
    assert asyncio.run(make(per_minute=5).take(SOON, behind=100))
    assert isinstance(make(per_minute=5).grant(BACKFILL), Later)
    clock.present += 16 * SECOND
    assert isinstance(make(per_minute=5).grant(BACKFILL), Granted)
    assert not line(tmp_path)


def test_who_gives_up_waiting_leaves_the_line(tmp_path: Path) -> None:
    async def give_up() -> None:
        crowd = Crowd(tmp_path, per_minute=1)
        granted(crowd.budget())
        task = asyncio.create_task(crowd.budget().take(SOON, behind=3))
        await asyncio.sleep(0)
        assert line(tmp_path) == [(PERISHABLE, 4)]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    assert not line(tmp_path)


def test_a_slot_that_ends_in_the_line_is_not_asked_for(make: Make, tmp_path: Path) -> None:
    budget = make(per_minute=1)
    granted(budget)
    with pytest.raises(SlotOverError, match="not sent before its slot ended at 2026-03-26 12:00:20"):
        asyncio.run(budget.take(Claim(PERISHABLE, NOON + 20 * SECOND)))
    assert not line(tmp_path)
