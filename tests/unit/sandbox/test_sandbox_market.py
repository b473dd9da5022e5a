"""The generated market keeps its own promises: pure, balanced, consistent, and full of the documented traps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from sandbox import Market, SandboxSettings
from sandbox.market.cohorts import PNL_COHORTS, SIZE_COHORTS, bucket_of, classify
from sandbox.market.orders import MARK_MS
from sandbox.times import to_ms

START = datetime(2026, 3, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(SandboxSettings(start=START))


def index(market: Market, moment: datetime = START) -> int:
    return market.states.index_at(to_ms(moment))


def test_states_are_irregular_and_15_to_17_minutes_apart(market: Market) -> None:
    times = market.states.times(np.arange(index(market) - 500, index(market)))
    gaps = np.diff(times)
    assert gaps.min() >= 15 * 60_000
    assert gaps.max() <= 17 * 60_000
    assert len(set((times % 1000).tolist())) > 100


def test_the_state_of_a_time_is_the_latest_at_or_before_it(market: Market) -> None:
    state = index(market)
    assert market.states.index_at(market.states.time(state)) == state
    assert market.states.index_at(market.states.time(state) - 1) == state - 1


def test_states_reach_back_at_least_30_days_before_any_start() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    early = Market(SandboxSettings(start=start))
    assert early.states.index_at(to_ms(start - timedelta(days=30))) > 0


def test_a_state_is_the_same_whatever_was_asked_before(market: Market) -> None:
    other = Market(SandboxSettings(start=START))
    for days in (20, 1, 40, 3):
        other.positions_at(START - timedelta(days=days))
    pd.testing.assert_frame_equal(other.positions_at(START), market.positions_at(START))


def test_longs_equal_shorts_in_every_coin_while_counts_differ(market: Market) -> None:
    for days in (0, 7, 30):
        coins = market.truth_coins(START - timedelta(days=days))
        np.testing.assert_allclose(coins["value_long"] * 2, coins["value"], rtol=1e-12)
        assert (coins["count_long"] * 2 != coins["count"]).any()


def test_no_wallet_holds_a_coin_twice_and_no_id_repeats(market: Market) -> None:
    rows = market.positions_at(START)
    assert not rows.duplicated(["address", "coin"]).any()
    assert rows["id"].is_unique or rows[~rows["id"].str.startswith("0x")]["id"].is_unique


def test_size_is_a_setting(market: Market) -> None:
    assert len(market.positions_at(START)) == pytest.approx(2_400, rel=0.05)
    assert len(market.orders_at(START)) == 1_500
    assert market.coins.names[:9] == (
        "BTC",
        "ETH",
        "HYPE",
        "SOL",
        "kPEPE",
        "xyz:GOLD",
        "cash:GOLD",
        "flx:GOLD",
        "hyna:BTC",
    )


def test_330_coins_have_330_names() -> None:
    names = Market(SandboxSettings(coins=330, start=START)).coins.names
    assert len(set(names)) == 330


def test_aggregates_equal_the_plain_truth(market: Market) -> None:
    state = index(market)
    coins, cohorts = market.sums.coins(state), market.sums.cohorts(state)
    buckets, truth = market.sums.buckets(state), market.truth_coins(START)
    for code, name in enumerate(market.coins.names):
        assert coins.count[code] == truth.loc[name, "count"]
        assert coins.value[code] / 1e6 == pytest.approx(truth.loc[name, "value"], rel=1e-12)
        assert coins.near[code] / 1e6 == pytest.approx(truth.loc[name, "near_value"], rel=1e-12)
    for cohort, row in market.truth_cohorts(START, "BTC").iterrows():
        assert cohorts.count[0, int(str(cohort)) - 1] == row["count"]
        assert cohorts.value_long[0, int(str(cohort)) - 1] / 1e6 == pytest.approx(row["value_long"], rel=1e-12)
    np.testing.assert_array_equal(buckets.count[0], market.truth_buckets(START, "BTC")["count"])


def test_each_axis_holds_every_position_once(market: Market) -> None:
    state = index(market)
    cohorts, coins = market.sums.cohorts(state), market.sums.coins(state)
    for axis in (SIZE_COHORTS, PNL_COHORTS):
        places = [cohort.id - 1 for cohort in axis]
        np.testing.assert_array_equal(cohorts.value[:, places].sum(axis=1), coins.value)


def test_cohort_bounds_are_half_open() -> None:
    assert classify(np.array([0, 249.99, 250, 5_000_000]), SIZE_COHORTS).tolist() == [16, 16, 1, 7]
    assert classify(np.array([-1_000_000, -0.01, 0, 10_000]), PNL_COHORTS).tolist() == [14, 12, 11, 10]
    assert bucket_of(np.array([999_999_999, 1_000_000_000, 2_500_000_000_000])).tolist() == [1, 2, 10]


def test_every_cohort_has_wallets_and_some_wallets_migrate(market: Market) -> None:
    now, later = (market.wallets.figures(to_ms(START + timedelta(days=days))) for days in (0, 3))
    assert set(now.size_cohort) | set(now.pnl_cohort) == set(range(1, 17))
    assert 0 < (now.size_cohort != later.size_cohort).sum() < len(now.size_cohort) / 10


def test_liquidation_progress_follows_from_the_printed_prices(market: Market) -> None:
    rows = market.positions_at(START)
    mark = rows["coin"].map({name: market.mark_at(START, name) for name in market.coins.names})
    sign = np.where(rows["side"] == "long", 1, -1)
    moved, room = sign * (rows["entryPrice"] - mark), sign * (rows["entryPrice"] - rows["liquidationPrice"])
    np.testing.assert_allclose(rows["liquidationProgress"], np.maximum(0, 100 * moved / room), rtol=1e-9)
    assert (rows["liquidationPrice"] == 0).any()
    assert (rows["liquidationProgress"] >= 75).any()
    assert ((rows["crossLeverage"] == 0) != (rows["isolatedLeverage"] == 0)).all()


def test_orders_carry_over_and_some_are_from_2023(market: Market) -> None:
    before, after = market.orders_at(START), market.orders_at(START + timedelta(minutes=5))
    kept = before.merge(after, on=list(before.columns.drop(["height", "snapshotTs"])))
    assert 0.95 <= len(kept) / len(before) < 1
    assert before["oid"].is_unique
    assert before["height"].nunique() == 1
    assert before["timestamp"].is_monotonic_increasing
    assert before["timestamp"].iloc[0].startswith("2023")
    assert (before["isPositionTpsl"] & (before["sz"] == 0)).any()
    assert (before["timestamp"] <= before["snapshotTs"]).all()


@pytest.mark.parametrize("minutes", [0, 5, 60, 24 * 60, 40 * 24 * 60], ids=lambda minutes: f"after {minutes} minutes")
def test_limit_orders_never_cross_and_trigger_orders_lie_on_both_sides(market: Market, minutes: int) -> None:
    moment = START + timedelta(minutes=minutes)
    orders = market.orders_at(moment)
    mark_ms = to_ms(moment) // MARK_MS * MARK_MS
    cost = market.coins.price(orders["coin"].map(market.codes).to_numpy(), mark_ms)
    is_beyond = np.where(orders["side"] == "A", orders["limitPx"] > cost, orders["limitPx"] < cost)
    assert is_beyond[~orders["isTrigger"]].all()
    assert 0 < is_beyond[orders["isTrigger"]].sum() < orders["isTrigger"].sum()


def test_a_price_stays_within_its_bounds(market: Market) -> None:
    codes, random = np.arange(len(market.coins.names)), np.random.default_rng(7)
    for days in (0.01, 0.3, 3, 200):
        since = to_ms(START) + random.integers(0, 10**10, len(codes))
        until = since + int(days * 86_400_000)
        low, high = market.coins.price_bounds(codes, since, until)
        path = np.array([market.coins.price(codes, moments) for moments in np.linspace(since, until, 500).astype(np.int64)])
        assert (low <= path.min(axis=0) + 1e-9).all()
        assert (high >= path.max(axis=0) - 1e-9).all()


def test_a_coins_orders_are_the_markets_orders_of_that_coin(market: Market) -> None:
    every = market.orders_at(START)
    of_coin = every[every["coin"] == "xyz:GOLD"].reset_index(drop=True)
    pd.testing.assert_frame_equal(market.orders_at(START, "xyz:GOLD"), of_coin)


def test_a_market_of_one_coin_works() -> None:
    small = Market(SandboxSettings(coins=1, positions=50, orders=10, start=START))
    assert not small.positions_at(START).duplicated("address").any()
