"""What the questions answer about a copy whose figures are known."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from dashboards.published import Edition
from dashboards.queries import cohorts, coin, coverage, market, wallets
from dashboards.queries.spans import POINTS, STEPS, Span, extent
from tests.dashboards.copies import COINS, NOW, PNL_COHORTS, SINCE, SIZE_COHORTS

HOURS = 48


def test_a_span_ends_with_the_newest_thing_known(edition: Edition) -> None:
    (row,) = edition.answer(extent).to_dict("records")
    assert (row["oldest_at"], row["newest_at"]) == (SINCE, NOW)


@pytest.mark.parametrize("days", [0.1, 1, 7, 30, 90, 400])
def test_a_series_is_thinned_to_what_a_screen_shows(days: float) -> None:
    step = Span(NOW - timedelta(days=days), NOW).step
    assert step in STEPS
    assert timedelta(days=days) / step <= POINTS or step == STEPS[-1]


def test_thinning_keeps_the_last_reading_of_each_step_whole(edition: Edition) -> None:
    every = edition.answer(market.market, Span(NOW - timedelta(hours=2), NOW))
    assert every["snapshot_at"].diff().dropna().eq(timedelta(minutes=10)).all()
    long = edition.answer(market.market, Span(NOW - timedelta(days=29), NOW))
    assert len(long) == HOURS + 1
    inner = long.iloc[:-1]
    assert inner["snapshot_at"].dt.minute.eq(50).all()
    assert (inner["open_interest_usd"] - 1e9).tolist() == [(at - SINCE).total_seconds() for at in inner["snapshot_at"]]


def test_the_market_in_its_units(edition: Edition, span: Span) -> None:
    last = edition.answer(market.market, span).iloc[-1]
    assert last["open_interest_to_equity_ratio"] == pytest.approx(1e9 / 4e9, rel=1e-3)
    assert last["in_profit_fraction"] == 0.45


def test_days_of_volume_are_whole_and_equity_is_beyond_suspicion(edition: Edition, span: Span) -> None:
    assert edition.answer(market.daily_volume, span)["day"].dt.day.tolist() == [22, 23]
    assert edition.answer(market.equity, span)["snapshot_at"].dt.hour.eq(4).all()


def test_coins_come_by_open_interest(edition: Edition) -> None:
    assert edition.answer(coin.coins)["coin"].tolist() == sorted(COINS, key=lambda name: -COINS[name])


def test_one_source_at_a_time_and_only_the_even_grid_of_the_export(edition: Edition, span: Span) -> None:
    assert edition.answer(coin.coin_sources, "BTC", span)["dataset"].tolist()[0] == "coin_metrics"
    series = edition.answer(coin.coin_series, "BTC", "position_metrics_export", span)
    assert series["snapshot_at"].dt.minute.eq(0).all()
    assert len(series) == HOURS + 1
    assert series["open_interest_usd"].eq(COINS["BTC"]).all()


def test_sizes_and_their_change(edition: Edition, span: Span) -> None:
    sizes = edition.answer(coin.by_size, "xyz:GOLD", span)
    assert sizes["size_bucket"].tolist()[:2] == ["<$1k", "$1k-$10k"]
    assert sizes["position_count_change"].tolist() == list(range(1, 11))
    assert sizes["gross_value_change_fraction"].tolist()[:9] == [pytest.approx(-0.2)] * 9
    assert pd.isna(sizes["gross_value_change_fraction"].iloc[9]), "nothing was there before"
    assert sizes["snapshot_at"].eq(NOW).all()


@pytest.mark.parametrize(("axis", "names"), [("size", SIZE_COHORTS), ("pnl", PNL_COHORTS)], ids=["size", "pnl"])
def test_no_question_reads_both_axes(edition: Edition, span: Span, axis: str, names: list[str]) -> None:
    assert edition.answer(cohorts.cohorts, axis)["cohort_name"].tolist() == names
    assert edition.answer(coin.by_cohort, "BTC", axis, span)["cohort"].tolist() == names
    assert edition.answer(cohorts.flows, None, axis, span)["cohort"].tolist() == names
    assert set(edition.answer(cohorts.bias, "segment_bias_history", "all", axis, span)["cohort"]) == set(names)
    cells = edition.answer(cohorts.coins_by_cohort, axis, span, 2)
    assert cells[["coin", "cohort"]].to_numpy().tolist() == [[name, cohort] for name in ("BTC", "ETH") for cohort in names]


def test_flows_are_summed_over_the_comparisons_that_lie_within(edition: Edition) -> None:
    within = edition.answer(cohorts.flows, "BTC", "size", Span(NOW - timedelta(hours=4), NOW))
    assert within["trading_value_usd"].tolist() == [2 * 100 * cohort for cohort in range(1, 9)]
    assert within["since_at"].eq(NOW - timedelta(hours=4)).all()


def test_liquidations_are_those_of_one_snapshot_and_history_lasts_until_the_next(edition: Edition, span: Span) -> None:
    assert edition.answer(coin.liquidations, "BTC", span)["price_from"].is_unique
    history = edition.answer(coin.liquidation_history, "BTC", span, 900.0, 1100.0)
    assert history["price_to"].gt(900).all()
    assert history["price_from"].lt(1100).all()
    assert (history["until_at"] - history["snapshot_at"]).eq(timedelta(hours=2)).all()


def test_resting_orders_are_limits_unless_triggers_are_asked_for(edition: Edition, span: Span) -> None:
    limits, all_of_them = (edition.answer(coin.resting, "BTC", span, has_triggers) for has_triggers in (False, True))
    assert len(limits) == len(all_of_them) == 16
    assert all_of_them["order_count"].sum() == 2 * limits["order_count"].sum()


def test_the_largest_positions_first_and_each_once(edition: Edition, span: Span) -> None:
    found = edition.answer(wallets.largest_positions, (), None, span, 10)
    assert found["value_usd"].is_monotonic_decreasing
    assert found["snapshot_at"].eq(NOW).all()
    only = edition.answer(wallets.largest_positions, ("kPEPE", "ETH"), "short", span, 100)
    assert set(only["coin"]) == {"kPEPE", "ETH"}
    assert set(only["side"]) == {"short"}


def test_a_cohort_without_a_name_has_its_number(first_slot: Path, span: Span) -> None:
    found = Edition(first_slot.resolve()).answer(wallets.largest_positions, (), None, span, 1)
    assert found["size_cohort"].tolist() == ["cohort 3"]


def test_the_leaderboard_by_rank_and_by_move(edition: Edition, span: Span) -> None:
    assert edition.answer(wallets.leaderboard, "day", "best", span, 3)["rank"].tolist() == [1, 2, 3]
    assert edition.answer(wallets.leaderboard, "day", "climbed most", span, 1)["places_climbed"].tolist() == [58]
    fallen = edition.answer(wallets.leaderboard, "all", "fell most", span, 100)
    assert fallen["rank"].iloc[0] == 59
    assert pd.isna(fallen["places_climbed"].iloc[-1]), "who is new neither climbed nor fell"


def test_completeness_of_a_coin_counts_its_own_slots(edition: Edition, span: Span) -> None:
    of_coin = edition.answer(coverage.completeness, "BTC", span).set_index("dataset")
    of_all = edition.answer(coverage.completeness, None, span).set_index("dataset")
    assert of_coin.loc["open_positions", ["due_count", "arrived_count"]].tolist() == [49, 47]
    assert of_all.loc["open_positions", ["due_count", "arrived_count"]].tolist() == [49 * 4, 47 * 4]
    assert of_coin.loc["market_metrics", "due_count"] == 49


def test_what_is_missing_says_why_and_until_when(edition: Edition, span: Span) -> None:
    listed = edition.answer(coverage.missing, span, NOW).fillna({"healable_until": "never"}).to_dict("records")
    assert [(row["dataset"], row["slot_count"], row["healable_until"]) for row in listed] == [
        ("order_snapshots", 8, "2026-04-20 00:00"),
        ("open_positions", 8, "never"),
    ]
    assert listed[0]["mend"] == "htw heal"
    after = edition.answer(coverage.missing, span, datetime(2026, 5, 1))
    assert after["healable_count"].eq(0).all()


def test_cells_tell_what_can_be_healed_from_what_is_lost(edition: Edition, span: Span) -> None:
    cells = edition.answer(coverage.cells, span, NOW)
    at_three = cells[cells["since_at"].dt.hour == 3].groupby("dataset")["state"].unique()
    assert at_three.map(list).to_dict() == {
        "market_metrics": ["arrived"], "open_positions": ["lost"], "order_snapshots": ["can be healed"],
    }  # fmt: skip
    assert cells["arrived_count"].sum() == edition.answer(coverage.totals, span, NOW)["arrived_count"].iloc[0]


def test_requests_name_the_costly_ones(edition: Edition, span: Span) -> None:
    used = edition.answer(coverage.requests, span)
    assert used["dataset"].iloc[0] == "order_snapshots"
    assert used["requests_spent"].sum() == 200
