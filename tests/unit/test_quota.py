"""The quota plan: never over the plan, never less for more, the declared order, and the worst minute acted out."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from orchestration.affording import afford, affordable, assumed_coins, pollable_of, vendor_plans, wishes_for
from orchestration.affording_report import plan_table, show_plan, uncovered_words, upgrade_table
from orchestration.hypertracker.datasets import BY_NAME, DATASETS
from orchestration.planning.ladder import STAGES, steps
from orchestration.planning.pace import intervals_from, slots_a_day, slots_a_month
from orchestration.planning.plans import PLANS, Plan, monthly, next_plan, parse_plan
from orchestration.planning.pollable import Breadth, Perishability, Pollable, Wishes
from orchestration.planning.quota import QuotaPlan, plan_quota
from orchestration.planning.slots import EPOCH
from orchestration.planning.spending import STATE_STEP, Allowance, all_loads, spending
from orchestration.planning.upgrade import difference
from orchestration.settings import load_offline_settings

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
STATE = Pollable("state", timedelta(minutes=15), Perishability.PERISHABLE, Breadth.MARKET, priority=1, is_state=True)
STEPS = [timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=2), DAY]

pollables = st.builds(
    Pollable,
    name=st.sampled_from("abcdefgh"),
    step=st.sampled_from(STEPS),
    perishability=st.sampled_from(Perishability),
    breadth=st.sampled_from(Breadth),
    requests=st.integers(1, 20),
    parts=st.sampled_from([("",), ("all", "24h")]),
    priority=st.integers(1, 3),
    reaches_back=st.sampled_from([None, timedelta(hours=6), timedelta(days=3), timedelta(days=14)]),
    settle=st.sampled_from([timedelta(), timedelta(seconds=40)]),
    is_dated_by_state=st.booleans(),
)
wishes = st.builds(
    Wishes,
    coins=st.dictionaries(st.sampled_from(["BTC", "ETH", "kPEPE", "xyz:GOLD", "cash:GOLD"]), st.integers(0, 3).map(float)),
    pollables=st.lists(pollables, max_size=6, unique_by=lambda pollable: pollable.name).map(
        lambda found: frozenset([*found, STATE])
    ),
    reserve_fraction=st.sampled_from([0.0, 0.1, 0.5]),
)
plans = st.one_of(
    st.builds(Plan, st.just("a day"), st.integers(0, 600), st.sampled_from([0, 1, 10, 60])),
    st.builds(monthly, st.just("a month"), st.integers(0, 20_000), st.sampled_from([0, 1, 10, 60])),
)


@cache
def of_vendor(coin_count: int) -> list[QuotaPlan]:
    return vendor_plans(coin_count)


def sweeps(quota: QuotaPlan, start: datetime, end: datetime) -> Iterator[tuple[datetime, Pollable, int]]:
    """Every request that a plan makes in a window, counted slot by slot: the slot, whose it is, how many."""
    paces = [(choice.pollable, pace.interval, len(pace.units)) for choice in quota.choices for pace in choice.paces]
    slot = start
    while slot < end:
        due = [pace for pace in paces if (slot - EPOCH) % pace[1] == timedelta()]
        yield from ((slot, pollable, units * pollable.requests) for pollable, _, units in due)
        for step in {pollable.step for pollable, _, _ in due if pollable.is_dated_by_state}:
            reading_before = not any(pollable.is_state and pollable.step == step for pollable, _, _ in due)
            yield slot, replace(STATE, step=step), 1 + reading_before
            if step == STATE_STEP and any(p.is_dated_by_state and p.step == interval == step for p, interval, _ in due):
                yield slot, replace(STATE, step=STATE_STEP), 2
        slot += timedelta(minutes=5)


@given(plans, wishes)
@settings(max_examples=50, deadline=None)
def test_a_plan_is_never_overspent_and_the_next_step_would_overspend_it(plan: Plan, wished: Wishes) -> None:
    quota = plan_quota(plan, wished)
    one_day = sum(count for _, _, count in sweeps(quota, EPOCH, EPOCH + DAY))
    assert one_day == quota.total.day
    most = (plan.per_month or 31 * plan.per_day) * (1 - wished.reserve_fraction)
    assert quota.total.month <= most + 1e-6
    assert plan.per_month or one_day <= plan.per_day * (1 - wished.reserve_fraction) + 1e-6
    if quota.next and plan.per_month:
        assert quota.total.month + quota.next.month > int(most)
    assert quota.next or quota.held_by_minute or quota.is_whole


def test_no_month_of_a_vendor_plan_is_overspent_slot_by_slot() -> None:
    for quota in of_vendor(20):
        per_day: list[int] = []
        # Four weeks more than a month, so that every phase of a weekly poll is in a window of 31 days once.
        days = [EPOCH + number * DAY for number in range(38)]
        whole = sum(count for _, _, count in sweeps(quota, EPOCH + DAY, EPOCH + 2 * DAY))
        for start in days:
            rare = [
                (c.pollable, p)
                for c in quota.choices
                for p in c.paces
                if p.interval > DAY and (start - EPOCH) % p.interval == 0 * DAY
            ]
            per_day.append(whole + sum(pollable.requests * len(pace.units) for pollable, pace in rare))
        months = [sum(per_day[first : first + 31]) for first in range(7)]
        assert max(per_day) <= quota.total.day
        assert max(months) <= quota.total.month <= quota.allowance.month
        # The figure is no loose bound: the fullest month comes within a hundredth of it.
        assert max(months) >= 0.98 * quota.total.month


@given(plans, wishes, st.integers(1, 3_000))
@settings(max_examples=50, deadline=None)
def test_more_requests_never_take_coverage_away(plan: Plan, wished: Wishes, more: int) -> None:
    larger = replace(plan, per_day=plan.per_day + more, per_month=plan.per_month and plan.per_month + 31 * more)
    assert_keeps(plan_quota(plan, wished), plan_quota(larger, wished))


@pytest.mark.parametrize("coin_count", [20, 330])
def test_a_larger_vendor_plan_keeps_what_a_smaller_one_affords(coin_count: int) -> None:
    found = of_vendor(coin_count)
    assert [quota.plan.name for quota in found] == list(PLANS)
    for smaller, larger in pairwise(found):
        assert_keeps(smaller, larger)
        assert difference(smaller, larger)


def assert_keeps(smaller: QuotaPlan, larger: QuotaPlan) -> None:
    for before, after in zip(smaller.choices, larger.choices, strict=True):
        assert after.coverage_fraction >= before.coverage_fraction
        for pace in before.paces:
            for unit in pace.units:
                interval = after.interval_of(unit)
                assert interval is not None
                assert interval <= pace.interval


@given(plans, wishes, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_inputs_does_not_matter(plan: Plan, wished: Wishes, random: object) -> None:
    coins, held = list(wished.coins.items()), list(wished.pollables)
    random.shuffle(coins)  # type: ignore[attr-defined]
    random.shuffle(held)  # type: ignore[attr-defined]
    assert plan_quota(plan, replace(wished, coins=dict(coins), pollables=frozenset(held))) == plan_quota(plan, wished)


@given(plans.filter(lambda plan: plan.per_minute > 0), wishes)
@settings(max_examples=40, deadline=None)
def test_at_the_worst_minute_every_slot_is_filled_before_it_ends(plan: Plan, wished: Wishes) -> None:
    quota = plan_quota(plan, wished)
    assert unfilled(quota, EPOCH, quota.allowance.minute or 0) == []


def test_the_vendor_plans_fill_every_slot_of_the_busiest_day_and_a_slower_minute_would_not() -> None:
    for quota in of_vendor(20)[1:]:
        assert unfilled(quota, EPOCH, quota.allowance.minute or 0) == []
    assert unfilled(of_vendor(20)[4], EPOCH, 10) != []


def unfilled(quota: QuotaPlan, day: datetime, per_minute: int) -> list[str]:
    """Act out a day, what ends first being sent first: whose slots ended before they were filled."""
    arrivals = sorted(
        (
            (slot + pollable.settle, slot + pollable.step, pollable.name, count)
            for slot, pollable, count in sweeps(quota, day, day + DAY)
        ),
        reverse=True,
    )
    queue: list[tuple[datetime, str, int]] = []
    late, now = [], day
    while arrivals or queue:
        while arrivals and arrivals[-1][0] <= now:
            heapq.heappush(queue, arrivals.pop()[1:])
        left = per_minute
        while queue and left:
            end, name, count = heapq.heappop(queue)
            late += [name] if now + MINUTE > end else []
            sent = min(left, count)
            left -= sent
            if sent < count:
                heapq.heappush(queue, (end, name, count - sent))
        now += MINUTE
    return late


@pytest.mark.parametrize(("minutes", "readings"), [(15, 4), (30, 2)], ids=["as often as the state", "more rarely"])
def test_a_slot_as_short_as_the_state_is_read_for_twice_more(minutes: int, readings: int) -> None:
    dated = Pollable("dated", STATE_STEP, Perishability.PERISHABLE, Breadth.MARKET, is_dated_by_state=True)
    slots = DAY // timedelta(minutes=minutes)
    assert spending(all_loads({dated: {"": timedelta(minutes=minutes)}})).day == slots * (1 + readings)


def test_the_reserve_is_taken_off_every_limit() -> None:
    assert Allowance.of(PLANS["pulse"], 0.1) == Allowance(day=None, month=45_000, minute=54)
    assert Allowance.of(PLANS["free"], 0.1) == Allowance(day=90, month=2_790, minute=None)
    assert Allowance.of(PLANS["pulse"], 0.1).minutes_for(236) == 5


def test_what_is_published_late_has_so_much_less_time() -> None:
    late = Pollable("late", STEPS[0], Perishability.PERISHABLE, Breadth.COIN, settle=timedelta(seconds=40))
    coins = {f"coin {number}": 1.0 for number in range(100)}
    quota = plan_quota(Plan("slow", 1_000_000, 10), Wishes(coins, frozenset({late})))
    assert quota.choices[0].covered_count == 40, "ten a minute in the four whole minutes between 00:00:40 and 00:05"
    assert quota.held_by_minute == ("late",)


def test_frequent_slots_take_their_time_from_rarer_ones_again_and_again() -> None:
    fast = Pollable("fast", STEPS[0], Perishability.PERISHABLE, Breadth.COIN)
    slow = replace(fast, name="slow", step=STEPS[1])
    coins = {f"coin {number}": 1.0 for number in range(40)}
    quota = plan_quota(Plan("slow", 1_000_000, 10), Wishes(coins, frozenset({fast, slow})))
    # In 15 minutes 150 requests: 40 slow ones, 5 fast ones once, 35 fast ones three times.
    assert [len(pace.units) for pace in quota.choice("fast").paces] == [35, 5]


def test_what_the_minute_rules_out_does_not_stop_what_has_time() -> None:
    quota = of_vendor(330)[1]
    assert "order_snapshots" in quota.held_by_minute
    assert 0 < quota.choice("order_snapshots").coverage_fraction < quota.choice("breakdown_by_cohort_export").coverage_fraction
    assert quota.total.month > 0.99 * quota.allowance.month


def test_perishable_goes_before_windows_before_history_and_one_call_before_many() -> None:
    found = [(step.pollable.name, step.interval) for step in steps(wishes_for(["BTC"]))]

    def first(name: str) -> int:
        return next(place for place, (found_name, _) in enumerate(found) if found_name == name)

    def whole(name: str) -> int:
        return found.index((name, pollable_of(BY_NAME[name]).step))

    assert whole("coins") < first("open_positions") < first("segment_metrics_export") < first("coin_metrics")
    assert whole("open_positions") < whole("segment_metrics_export") < whole("coin_metrics")
    assert first("market_metrics") < first("open_positions"), "one call for the whole market, even if it is history"


def test_coins_go_by_open_value_and_equal_ones_by_name() -> None:
    only = frozenset({replace(STATE, breadth=Breadth.COIN, step=DAY, is_state=False)})
    quota = plan_quota(Plan("tiny", 3, 0), Wishes({"SMALL": 1.0, "B": 5.0, "A": 5.0, "BIG": 9.0}, only))
    assert quota.choices[0].paces[0].units == ("BIG", "A", "B")
    assert quota.choices[0].uncovered == ("SMALL",)


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_every_dataset_is_stretched_by_whole_multiples_only_and_without_holes(dataset) -> None:  # type: ignore[no-untyped-def]
    pollable = pollable_of(dataset)
    assert pollable.intervals[-1] == dataset.cadence.step
    assert all(interval % dataset.cadence.step == timedelta() for interval in pollable.intervals)
    reach = dataset.window or dataset.lookback
    assert reach is None or pollable.intervals[0] <= reach
    assert pollable.requests * len(pollable.parts) == len(dataset.scopes(["BTC"])) * dataset.requests_a_poll
    reached = {step.interval for step in steps(wishes_for(["BTC"], [dataset]))}
    assert reached == set(pollable.intervals), "each is a step of some stage"


def test_intervals_and_their_slots() -> None:
    assert intervals_from(timedelta(hours=2), timedelta(days=3)) == tuple(timedelta(hours=h) for h in (72, 24, 8, 4, 2))
    assert (slots_a_day(timedelta(hours=8)), slots_a_month(timedelta(hours=8))) == (3, 93)
    assert (slots_a_day(timedelta(days=3)), slots_a_month(timedelta(days=3))) == (1, 11)


def test_an_empty_wish_costs_nothing_and_is_whole() -> None:
    quota = plan_quota(PLANS["pulse"], Wishes({}, frozenset()))
    assert (quota.total.month, quota.is_whole, quota.next) == (0, True, None)


def test_a_plan_by_the_month_is_reckoned_for_the_longest_month() -> None:
    assert parse_plan("31000/month,9/minute") == Plan("31000/month,9/minute", 1000, 9, 31_000)
    assert PLANS["pulse"].per_day * 31 <= 50_000
    assert [next_plan(plan) and next_plan(plan).name for plan in PLANS.values()] == ["pulse", "surge", "flow", "stream", None]  # type: ignore[union-attr]
    assert next_plan(parse_plan("5000/day")) == PLANS["flow"]


def test_the_words_say_what_is_lost_and_what_is_not() -> None:
    found = afford(PLANS["pulse"], wishes_for(assumed_coins()[:20])).quota
    said = {choice.pollable.name: uncovered_words(choice) for choice in found.choices}
    assert said["coins"] == "-"
    assert said["liquidation_risk"] == "50%: lost"
    assert said["segment_metrics_export"] == "nothing, it comes later"
    assert said["order_snapshots"].endswith("can be had for 30 days")
    assert said["positions"] == "100%: can be had later"


def test_without_a_larger_plan_or_a_gap_nothing_would_be_added(tmp_path) -> None:  # type: ignore[no-untyped-def]
    top = affordable(load_offline_settings(plan="stream", coins="BTC,ETH", datasets="coins", data_dir=tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    assert top.larger is None
    assert upgrade_table(top) is None
    assert top.quota.is_whole
    small = affordable(load_offline_settings(plan="surge", coins="BTC", datasets="coins", data_dir=tmp_path / "none"))
    assert upgrade_table(small) is None


@pytest.mark.parametrize("width", [80, 160])
def test_the_tables_fit_the_terminal(width: int) -> None:
    found = afford(PLANS["pulse"], wishes_for(assumed_coins()), is_assumed=True)
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    show_plan(found, console)
    text = console.export_text()
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert "…" not in text
    assert all(dataset.name in text for dataset in DATASETS)
    assert plan_table(found.quota).row_count == len(DATASETS) + 2


def test_each_stage_adds_something() -> None:
    held = [pollable_of(dataset) for dataset in DATASETS]
    taken: set[tuple[str, timedelta]] = set()
    for stage in STAGES:
        ours = {(p.name, interval) for p in held for interval in p.intervals if stage.takes(p, interval)}
        assert ours - taken, stage.says
        taken |= ours
