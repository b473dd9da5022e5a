"""What fills slots that are over: how few requests, in which order, and how many a budget pays for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.planning.errands import LONGEST_PAUSE, MOST_ATTEMPTS, Errand, Filling, Lack, errands_for, urgent_first, within

NOON = datetime(2026, 3, 24, 12, tzinfo=UTC)
STEP = timedelta(minutes=15)
FAR = datetime(9999, 12, 31, tzinfo=UTC)


def lack(slot: int, scope: str = "BTC", expires: datetime = FAR, cost: int = 1) -> Lack:
    """Something missing so many slots before noon."""
    return Lack("coin_metrics", scope, NOON - slot * STEP, expires, cost)


def errand(cost: int, scopes: tuple[str, ...] = ("BTC",), expires: datetime = FAR, slot: datetime = NOON) -> Errand:
    return Errand("open_positions", slot, scopes, cost, len(scopes), expires)


def test_what_is_one_answer_a_slot_is_asked_slot_by_slot() -> None:
    found = errands_for([lack(1), lack(3), lack(1, "ETH")], Filling(STEP))
    assert [(e.slot, set(e.scopes), e.cost) for e in found] == [
        (NOON - 3 * STEP, {"BTC"}, 1),
        (NOON - STEP, {"BTC", "ETH"}, 2),
    ]


def test_a_file_of_the_whole_exchange_is_paid_once() -> None:
    (found,) = errands_for([lack(1), lack(1, "ETH")], Filling(STEP, is_shared=True))
    assert (set(found.scopes), found.cost, found.slot_count) == ({"BTC", "ETH"}, 1, 2)


def test_a_series_is_asked_as_rarely_as_its_reach_allows() -> None:
    # Six hours back are 24 slots; one answer holds what began in them, so that 50 slots take three.
    found = errands_for([lack(slot) for slot in range(1, 51)], Filling(STEP, timedelta(hours=6)))
    assert [e.slot_count for e in found] == [2, 24, 24]
    assert found[-1].slot == NOON - STEP


def test_what_tells_everything_is_asked_once_and_now() -> None:
    (found,) = errands_for([lack(slot) for slot in (1, 400)], Filling(STEP, None, at=NOON))
    assert (found.slot, found.slot_count) == (NOON, 2)


def test_an_export_is_asked_now_for_all_its_window_holds() -> None:
    filling = Filling(STEP, timedelta(hours=1), at=NOON)
    (found,) = errands_for([lack(1), lack(3)], filling)
    assert (found.slot, found.slot_count) == (NOON, 2)


@given(st.sets(st.integers(1, 300), min_size=1), st.sampled_from([timedelta(hours=1), timedelta(hours=6), timedelta(days=3)]))
def test_every_slot_of_a_series_is_within_the_reach_of_an_errand(slots: set[int], reach: timedelta) -> None:
    filling = Filling(STEP, reach)
    found = errands_for([lack(slot) for slot in slots], filling)
    assert all(any(filling.fills(e.slot, NOON - slot * STEP) for e in found) for slot in slots)
    assert sum(e.slot_count for e in found) == len(slots)


def test_what_is_lost_first_goes_first_and_then_the_oldest() -> None:
    soon, later = errand(1, expires=NOON + STEP), errand(1, expires=NOON + 2 * STEP, slot=NOON - STEP)
    never = [errand(1, slot=NOON - slots * STEP) for slots in (5, 1)]
    assert urgent_first([*reversed(never), later, soon]) == [soon, later, *never]


def test_a_budget_ends_within_an_errand_at_whole_scopes() -> None:
    all_of_it = [errand(2), errand(6, ("BTC", "ETH", "SOL")), errand(1)]
    assert within(all_of_it, 9) == all_of_it
    assert [e.scopes for e in within(all_of_it, 6)] == [("BTC",), ("BTC", "ETH")]
    assert [e.scopes for e in within(all_of_it, 3)] == [("BTC",)]
    assert within(all_of_it, 0) == []


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5))), st.integers(0, 60))
def test_no_budget_is_overspent(sizes: list[tuple[int, int]], requests: int) -> None:
    wanted = [errand(each * count, tuple(map(str, range(count)))) for each, count in sizes]
    assert sum(e.cost for e in within(wanted, requests)) <= requests


@pytest.mark.parametrize(("attempts", "pause_min"), [(1, 15), (2, 30), (3, 60)])
def test_each_failure_doubles_the_pause(attempts: int, pause_min: int) -> None:
    tried = Lack("coins", "", NOON, FAR, 1, attempts, NOON)
    pause = timedelta(minutes=pause_min)
    assert not tried.is_worth_trying(NOON + pause - timedelta(seconds=1))
    assert tried.is_worth_trying(NOON + pause)


def test_what_is_lost_soon_is_tried_again_sooner() -> None:
    tried = Lack("coins", "", NOON, NOON + timedelta(minutes=15), 1, 1, NOON)
    assert not tried.is_worth_trying(NOON + timedelta(minutes=3))
    assert tried.is_worth_trying(NOON + timedelta(minutes=4))


def test_after_many_failures_it_is_left_to_people() -> None:
    assert lack(1).is_worth_trying(NOON)
    assert not Lack("coins", "", NOON, FAR, 1, MOST_ATTEMPTS, NOON).is_worth_trying(NOON + 10 * LONGEST_PAUSE)
