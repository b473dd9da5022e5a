"""Every question of `docs/cookbook.md` is answered by the published file, and rightly.

CHECKS computes the answers anew in pandas, from the tables whole. Those of ONLY_RUN are held to have rows, and no more.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.pipeline.conftest import Day
from warehouse.query import query

PAGE = Path(__file__).parents[2] / "docs" / "cookbook.md"
QUESTION = re.compile(r"^### (\d+)\. (.+?)$(?:.*?)```sql\n(.+?)\n```", re.MULTILINE | re.DOTALL)
QUESTIONS = {int(number): (title, sql) for number, title, sql in QUESTION.findall(PAGE.read_text("utf-8"))}
# Their answers are single columns in the order of time, or what other tests of the mart prove.
ONLY_RUN = {12, 16, 22}
LARGE_WALLETS = ("Tidal Whale", "Leviathan")
WINNERS = ("Humble Earner", "Consistent Grinder", "Smart Money", "Money Printer")

Frame = pd.DataFrame
Tables = Callable[[str], Frame]


@pytest.fixture(scope="module")
def tables(day: Day) -> Tables:
    """A published table as a frame, whole."""
    return lambda name: query(day.settings.published_file, f"select * from {name}")


@pytest.fixture(scope="module")
def answer(day: Day) -> Callable[[int], Frame]:
    return lambda number: query(day.settings.published_file, QUESTIONS[number][1])


def newest(frame: Frame, by: str = "snapshot_at") -> Frame:
    return frame[frame[by] == frame[by].max()]


def newest_of_each(frame: Frame, key: str) -> Frame:
    return frame[frame.snapshot_at == frame.groupby(key).snapshot_at.transform("max")]


def named(frame: Frame, tables: Tables) -> Frame:
    """With the names and bounds of cohorts, the axis not twice."""
    return frame.merge(tables("dim_cohort")[["cohort_id", "cohort_name", "sort_order"]], on="cohort_id")


def heatmap(tables: Tables, axis: str, coin: str = "") -> Frame:
    rows = tables("fct_cohort_metrics")
    rows = rows[(rows.dataset == "heatmap") & (rows.axis == axis) & (rows.coin.eq(coin) | (coin == ""))]
    return named(newest(rows), tables)


def by_key(frame: Frame, key: str | list[str]) -> Frame:
    return frame.sort_values(key).set_index(key)


def same(left: Any, right: Any, tolerance: float = 1e-6) -> None:
    """Two columns with the same values in the same order, nulls in the same places."""
    values = [pd.Series(list(side), dtype=object) for side in (left, right)]
    assert len(values[0]) > 0
    if isinstance(next((value for value in values[0] if not pd.isna(value)), ""), (int, float)):
        pd.testing.assert_series_equal(*(side.astype(float) for side in values), rtol=tolerance)
    else:
        pd.testing.assert_series_equal(*values)


def check_open_interest_by_hour(got: Frame, tables: Tables) -> None:
    rows = tables("fct_market_metrics").sort_values("snapshot_at")
    last = rows.groupby(rows.snapshot_at.dt.floor("h")).last()
    same(got.hour_at, last.index)
    same(got.open_interest_usd, last.long_open_interest_usd)
    same(2 * got.open_interest_usd, last.gross_open_interest_usd)


def check_in_profit(got: Frame, tables: Tables) -> None:
    rows = tables("fct_market_metrics")
    share = (rows.positions_in_profit_count / rows.position_count).groupby(rows.snapshot_at.dt.floor("h")).mean()
    same(got.in_profit_fraction, share.round(4), 1e-3)


def check_daily_volume(got: Frame, tables: Tables) -> None:
    rows = tables("fct_perp_volume").sort_values("snapshot_at")
    last = rows.groupby(rows.snapshot_at.dt.floor("D")).last()
    whole = last[last.snapshot_at.dt.hour == 23]
    same(got.day, whole.index)
    same(got.volume_usd, whole.rolling_24h_volume_usd)


def check_largest_coins(got: Frame, tables: Tables) -> None:
    held = newest(tables("fct_coin_metrics").query("dataset == 'coins'")).nlargest(10, "long_value_usd")
    same(got.coin, held.coin)
    same(got.open_interest_usd, held.gross_value_usd / 2, 1e-3)


def check_coin_series(got: Frame, tables: Tables) -> None:
    rows = tables("fct_coin_metrics").query("coin == 'BTC' and dataset == 'position_metrics_export'")
    same(got.snapshot_at, rows[rows.snapshot_at == rows.snapshot_at.dt.floor("2h")].snapshot_at.sort_values())


def check_change_in_a_day(got: Frame, tables: Tables) -> None:
    rows = tables("fct_coin_metrics").query("dataset == 'position_metrics_export' and is_on_grid")
    for row in got.itertuples():
        series = rows[rows.coin == row.coin].sort_values("snapshot_at").set_index("snapshot_at").long_value_usd
        before = series[series.index <= series.index[-1] - pd.Timedelta(days=1)].iloc[-1]
        assert row.change_pct == pytest.approx(100 * (series.iloc[-1] / before - 1), abs=0.01)
    assert set(got.coin) == set(rows.coin)


def check_one_sided(got: Frame, tables: Tables) -> None:
    rows = newest(tables("fct_coin_metrics").query("dataset == 'coins' and position_count > 0"))
    lean = (rows.long_position_count / rows.position_count - 0.5).abs().nlargest(10)
    assert ((got.long_count_fraction - 0.5).abs().to_numpy() - lean.to_numpy()).tolist() == pytest.approx(
        [0] * len(got), abs=1e-4
    )


def check_stocks(got: Frame, tables: Tables) -> None:
    rows = by_key(newest_of_each(tables("fct_coin_metrics").query("dataset == 'coin_metrics'"), "coin"), "coin")
    same(got.unrealized_pnl_usd, rows.unrealized_pnl_usd)
    same(got.funding_usd, rows.funding_usd)


def check_holders(got: Frame, tables: Tables) -> None:
    rows = heatmap(tables, "size", "BTC").sort_values("sort_order")
    coin = newest(tables("fct_coin_metrics").query("coin == 'BTC' and dataset == 'coins'"))
    same(got.cohort_name, rows.cohort_name)
    assert got.gross_value_usd.sum() == pytest.approx(coin.gross_value_usd.iloc[0])
    assert got.coin_fraction.sum() == pytest.approx(1, abs=1e-3)


def check_winners_long(got: Frame, tables: Tables) -> None:
    rows = heatmap(tables, "pnl", "BTC").sort_values("sort_order")
    same(got.cohort_name, rows.cohort_name)
    same(got.long_fraction, rows.long_value_usd / rows.gross_value_usd, 1e-2)


def check_bias(got: Frame, tables: Tables) -> None:
    rows = newest_of_each(tables("fct_cohort_bias").query("dataset == 'segment_bias_history' and recency == 'all'"), "cohort_id")
    rows = by_key(named(rows, tables), "cohort_name")
    same(by_key(got, "cohort_name").exposure_bias, rows.exposure_bias, 1e-3)


def check_disagreement(got: Frame, tables: Tables) -> None:
    rows = heatmap(tables, "pnl")
    sums = rows.assign(wins=rows.cohort_name.isin(WINNERS)).groupby(["coin", "wins"])[["long_value_usd", "gross_value_usd"]].sum()
    fraction = (sums.long_value_usd / sums.gross_value_usd.where(sums.gross_value_usd > 0)).unstack("wins")
    same(by_key(got, "coin").winners_long_fraction, fraction[True], 1e-2)
    same(by_key(got, "coin").losers_long_fraction, fraction[False], 1e-2)


def check_large_wallets(got: Frame, tables: Tables) -> None:
    rows = heatmap(tables, "size")
    large = rows[rows.cohort_name.isin(LARGE_WALLETS)].groupby("coin").gross_value_usd.sum()
    share = (large / rows.groupby("coin").gross_value_usd.sum()).dropna()
    known = by_key(got.dropna(), "coin").large_wallets_fraction
    same(known, share.reindex(known.index), 1e-2)


def check_flows(got: Frame, tables: Tables) -> None:
    rows = named(tables("fct_cohort_flows").query("coin == 'BTC' and axis == 'pnl'"), tables)
    rows = rows.sort_values(["snapshot_at", "sort_order"])
    same(got[["trading_value_usd", "migration_value_usd", "revalued_value_usd"]].sum(axis=1),
         rows.gross_value_usd - rows.previous_gross_value_usd, 1e-4)  # fmt: skip


def check_size_buckets(got: Frame, tables: Tables) -> None:
    rows = newest(tables("fct_size_bucket_metrics").query("coin == 'BTC' and dataset == 'breakdown_by_size_export'"))
    coin = tables("fct_coin_metrics").query("coin == 'BTC' and dataset == 'coins'").set_index("snapshot_at")
    assert got.gross_value_usd.sum() == pytest.approx(coin.gross_value_usd.loc[rows.snapshot_at.max()], rel=1e-6)
    assert got.change_count.sum() == rows.position_count.sum() - rows.past_position_count.sum()


def positions(tables: Tables) -> Frame:
    return newest_of_each(tables("fct_open_positions"), "coin")


def check_largest_positions(got: Frame, tables: Tables) -> None:
    same(got.value_usd, positions(tables).value_usd.nlargest(20))


def check_wallets(got: Frame, tables: Tables) -> None:
    wallets = positions(tables).groupby("address").agg(value=("value_usd", "sum"), equity=("wallet_perp_equity_usd", "first"))
    wallets = wallets.nlargest(20, "value")
    same(got.address, wallets.index)
    same(got.perp_equity_usd, wallets.equity)


def check_entries(got: Frame, tables: Tables) -> None:
    rows = positions(tables)
    rows = rows.assign(cost=rows.entry_price * rows["size"])
    sums = rows.groupby(["coin", "side"])[["cost", "size", "value_usd"]].sum()
    same(got.entry_price, sums.cost / sums["size"])
    same(got.price, sums.value_usd / sums["size"])


def check_holding(got: Frame, tables: Tables) -> None:
    rows = tables("fct_positions").query("not is_open")
    hours = (rows.closed_at - rows.opened_at).dt.total_seconds() / 3600
    same(got.position_count, rows.groupby(["coin", "side"]).size())
    same(got.median_hours, hours.groupby([rows.coin, rows.side]).median(), 0.05)


def check_liquidation_ranges(got: Frame, tables: Tables) -> None:
    rows = newest(tables("fct_liquidation_heatmap").query("coin == 'ETH'")).nlargest(10, "liquidation_value_usd")
    same(got.liquidation_value_usd, rows.liquidation_value_usd)


def check_liquidated_by_a_move(got: Frame, tables: Tables) -> None:
    rows = positions(tables).query("size > 0")
    price = rows.value_usd / rows["size"]
    falls = rows[(rows.side == "long") & (rows.liquidation_price >= 0.95 * price)].groupby("coin").value_usd.sum()
    rises = rows[(rows.side == "short") & (rows.liquidation_price <= 1.05 * price)].groupby("coin").value_usd.sum()
    same(got.liquidated_by_fall_usd, falls.reindex(got.coin).fillna(0))
    same(got.liquidated_by_rise_usd, rises.reindex(got.coin).fillna(0))


def check_at_risk(got: Frame, tables: Tables) -> None:
    rows = named(newest(tables("fct_liquidation_risk")).query("axis == 'size'"), tables)
    same(got.at_risk_value_usd, rows.groupby("sort_order").at_risk_value_usd.sum())


def check_depth(got: Frame, tables: Tables) -> None:
    """Against the orders themselves: those that stand at the newest snapshot, by their distance from the middle."""
    book = tables("fct_order_versions").query("coin == 'BTC' and valid_to_at.isna() and order_type == 'Limit'")
    middle = newest(tables("fct_order_liquidity").query("coin == 'BTC'")).mid_price.max()
    near = book[(100 * (book.limit_price / middle - 1)).between(-2, 2, inclusive="left")]
    assert got.order_count.sum() == len(near)
    assert got.resting_value_usd.sum() == pytest.approx((near["size"] * near.limit_price).sum())


def check_earlier_book(got: Frame, tables: Tables) -> None:
    orders = tables("fct_order_versions").query("coin == 'BTC'")
    first = orders[(orders.valid_from_at == orders.valid_from_at.min()) & ~orders.is_trigger]
    same(got.order_count, first.groupby("side").size())


def check_missing(got: Frame, tables: Tables) -> None:
    assert got.slots_missing.sum() == tables("fct_slot_coverage").is_missing.sum()


def check_agreement(got: Frame, tables: Tables) -> None:
    rows = tables("fct_reconciliations")
    assert (got.comparisons.sum(), got.differing.sum()) == (len(rows), (rows.verdict == "differs").sum())


def check_as_of(got: Frame, tables: Tables) -> None:
    """Nothing was restated on this day, so that what is known since then is what was known by then, and less."""
    rows = tables("fct_coin_metrics").query("coin == 'BTC'")
    known = rows[rows.known_at <= tables("fct_coin_metrics").known_at.min()]
    assert got.row_count.tolist() == [len(known)]
    assert len(known) < len(rows)


CHECKS = {
    1: check_open_interest_by_hour, 2: check_in_profit, 3: check_daily_volume, 4: check_largest_coins, 5: check_coin_series,
    6: check_change_in_a_day, 7: check_one_sided, 8: check_stocks, 9: check_holders, 10: check_winners_long, 11: check_bias,
    13: check_disagreement, 14: check_large_wallets, 15: check_flows, 17: check_size_buckets, 18: check_largest_positions,
    19: check_wallets, 20: check_entries, 21: check_holding, 23: check_liquidation_ranges, 24: check_liquidated_by_a_move,
    25: check_at_risk, 26: check_depth, 27: check_earlier_book, 28: check_missing, 29: check_agreement, 30: check_as_of,
}  # fmt: skip


def test_there_are_thirty_questions_each_checked_or_said_not_to_be() -> None:
    assert list(QUESTIONS) == list(range(1, 31))
    assert set(QUESTIONS) == set(CHECKS) | ONLY_RUN
    assert len({title for title, _ in QUESTIONS.values()}) == 30


def test_statements_can_stand_in_double_quotes_in_a_shell() -> None:
    assert [number for number, (_, sql) in QUESTIONS.items() if set(sql) & set('"$`\\')] == []


@pytest.mark.parametrize("number", sorted(ONLY_RUN))
def test_the_question_has_rows_and_no_column_of_nulls(answer: Callable[[int], Frame], number: int) -> None:
    got = answer(number)
    assert len(got) > 0
    assert got.notna().any().all()


@pytest.mark.parametrize("number", sorted(CHECKS))
def test_the_answer_is_that_of_another_computation(answer: Callable[[int], Frame], tables: Tables, number: int) -> None:
    CHECKS[number](answer(number), tables)
