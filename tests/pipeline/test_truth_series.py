"""Series, cohorts, wallets and rankings against the generator's own truth, row by row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pandas as pd
import pytest

from orchestration.planning.slots import Cadence
from tests.pipeline.conftest import COINS, DAY, Day
from warehouse.query import query

CENT = 0.01
COHORTS = range(1, 17)
SIZE_BUCKETS = range(1, 11)
AGES = ("all", "24h", "7d", "30d")
EQUITY_PARTS = ("total", "perp", "spot", "staking", "vault")
LAST_SLOT = DAY + timedelta(hours=2)
SERIES_COLUMNS = {
    "position_count": "positionCount", "long_position_count": "positionCountLong", "gross_value_usd": "totalPositionValue",
    "long_value_usd": "totalPositionValueLong",
}  # fmt: skip
COIN_COLUMNS = SERIES_COLUMNS | {
    "gross_size": "totalPositionSize", "long_size": "totalPositionSizeLong", "funding_usd": "totalFunding",
    "unrealized_pnl_usd": "totalUnrealizedPnl",
}  # fmt: skip
BIAS_COLUMNS = {
    "exposure_bias": "bias", "reported_bias": "bias", "exposure_ratio": "exposureRatio", "open_value_usd": "openValue",
    "long_value_usd": "openLongValue", "short_value_usd": "openShortValue", "perp_equity_usd": "activePerpEquity",
}  # fmt: skip
SUMMARY_COLUMNS = {
    "traders_in_position_count": "countTradersInPosition", "traders_in_profit_count": "countTradersInProfit",
    "position_count": "countOpenPositions", "gross_value_usd": "totalValue", "long_value_usd": "totalLongValue",
    "exposure_bias": "perpBias", "exposure_ratio": "exposureRatio", "active_perp_equity_usd": "totalActivePerpEquity",
}  # fmt: skip
SUMMARY_COLUMNS_OF_ALL = {
    "trader_count": "countTraders", "perp_equity_usd": "totalPerpEquity", "coin_count": "countAssets",
}  # fmt: skip


def aware(moment: Any) -> datetime:
    """A published timestamp as the instant it is."""
    return pd.Timestamp(moment).to_pydatetime().replace(tzinfo=UTC)


def published(day: Day, fact: str, condition: str = "true") -> pd.DataFrame:
    frame = query(day.settings.published_file, f"select * from {fact} where {condition} order by all")
    assert len(frame) > 0
    return frame


def assert_row(row: Any, truth: Any, columns: dict[str, str]) -> None:
    """The columns of a published row equal their figures of the truth, to the cent."""
    found = {column: float(row[column]) for column in columns}
    assert found == pytest.approx({column: float(truth[name]) for column, name in columns.items()}, abs=CENT)


def times_of(truth: pd.DataFrame, column: str = "createdAt") -> list[pd.Timestamp]:
    return [pd.Timestamp(text).tz_localize(None) for text in truth[column]]


def a_few(times: list[Any]) -> list[Any]:
    """The first, the middle and the last: enough to see a shift or a mix-up."""
    return [times[0], times[len(times) // 2], times[-1]]


@pytest.mark.parametrize("coin", COINS)
def test_coin_metrics_at_every_state(day: Day, coin: str) -> None:
    found = published(day, "fct_coin_metrics", f"dataset = 'coin_metrics' and coin = '{coin}' and snapshot_at <= '{LAST_SLOT}'")
    truth = day.sandbox.market.truth_coin_row_times(coin, DAY - timedelta(hours=6), LAST_SLOT)
    assert list(found["snapshot_at"]) == times_of(truth)
    for (_, row), state_at in zip(found.iterrows(), truth["stateAt"], strict=True):
        assert_row(row, day.sandbox.market.truth_coin_metrics(state_at, coin), COIN_COLUMNS)
        assert row["short_position_count"] == row["position_count"] - row["long_position_count"]


@pytest.mark.parametrize("coin", COINS)
def test_coin_metrics_of_every_cohort(day: Day, coin: str) -> None:
    found = published(day, "fct_cohort_metrics", f"dataset = 'coin_cohort_metrics' and coin = '{coin}'")
    truth = day.sandbox.market.truth_coin_row_times(coin, DAY - timedelta(days=3), DAY)
    assert set(found["cohort_id"]) == set(COHORTS)
    for cohort, rows in found[found["snapshot_at"] <= pd.Timestamp(DAY.replace(tzinfo=None))].groupby("cohort_id"):
        assert list(rows["snapshot_at"]) == times_of(truth)
        states = dict(zip(rows["snapshot_at"], truth["stateAt"], strict=True))
        for at in a_few(list(rows["snapshot_at"])):
            row = rows[rows["snapshot_at"] == at].iloc[0]
            assert_row(row, day.sandbox.market.truth_coin_cohort_metrics(states[at], coin, cohort), SERIES_COLUMNS)


@pytest.mark.parametrize("coin", COINS)
def test_coin_metrics_of_every_size_bucket(day: Day, coin: str) -> None:
    found = published(day, "fct_size_bucket_metrics", f"dataset = 'coin_size_bucket_metrics' and coin = '{coin}'")
    truth = day.sandbox.market.truth_coin_row_times(coin, DAY - timedelta(days=3), DAY)
    assert set(found["size_bucket_id"]) == set(SIZE_BUCKETS)
    for bucket, rows in found[found["snapshot_at"] <= pd.Timestamp(DAY.replace(tzinfo=None))].groupby("size_bucket_id"):
        assert list(rows["snapshot_at"]) == times_of(truth)
        states = dict(zip(rows["snapshot_at"], truth["stateAt"], strict=True))
        for at in a_few(list(rows["snapshot_at"])):
            row = rows[rows["snapshot_at"] == at].iloc[0]
            assert_row(row, day.sandbox.market.truth_coin_bucket_metrics(states[at], coin, bucket), SERIES_COLUMNS)


@pytest.mark.parametrize("age", AGES)
def test_the_bias_history_of_every_cohort(day: Day, age: str) -> None:
    found = published(day, "fct_cohort_bias", f"dataset = 'segment_bias_history' and recency = '{age}'")
    since = DAY - timedelta(hours=3)
    assert found["snapshot_at"].min() < pd.Timestamp("2026-03-21 02:20")
    for cohort in COHORTS:
        truth = day.sandbox.market.truth_bias_history(cohort, since, DAY, age)[::-1]
        rows = found[(found["cohort_id"] == cohort) & (found["snapshot_at"] >= pd.Timestamp(since.replace(tzinfo=None)))]
        rows = rows[rows["snapshot_at"] <= pd.Timestamp(DAY.replace(tzinfo=None))]
        assert list(rows["snapshot_at"]) == times_of(truth, "timestamp")
        for (_, row), (_, expected) in zip(rows.iterrows(), truth.iterrows(), strict=True):
            assert_row(row, expected, BIAS_COLUMNS)


def test_the_bias_export_is_on_the_scale_of_the_history(day: Day) -> None:
    found = published(day, "fct_cohort_bias", "dataset = 'segments_bias_export'")
    assert set(found["recency"]) == {"24h"}
    assert not found["exposure_bias"].isna().any()
    times = sorted(set(found["snapshot_at"]))
    assert times[-1] - times[0] >= timedelta(hours=71)
    for at, cohort in product(a_few(times), COHORTS):
        row = found[(found["snapshot_at"] == at) & (found["cohort_id"] == cohort)].iloc[0]
        assert_row(row, day.sandbox.market.truth_bias_row(aware(at), cohort, "24h"), BIAS_COLUMNS)


@pytest.mark.parametrize("age", AGES)
def test_the_summary_of_every_cohort(day: Day, age: str) -> None:
    found = published(day, "fct_cohort_summary", f"position_age = '{age}'")
    newest = found[found["snapshot_at"] == found["snapshot_at"].max()].set_index("cohort_id")
    assert list(newest.index) == list(COHORTS)
    for cohort, row in newest.iterrows():
        truth = day.sandbox.market.truth_segment_summary(aware(row["snapshot_at"]), cohort, age)
        assert_row(row, truth, SUMMARY_COLUMNS | (SUMMARY_COLUMNS_OF_ALL if age == "all" else {}))
        assert row["long_position_count"] + row["short_position_count"] == row["position_count"]
        assert row["long_value_usd"] + row["short_value_usd"] == pytest.approx(row["gross_value_usd"])


def test_liquidation_risk_is_a_fraction_of_value_and_theirs_is_not(day: Day) -> None:
    found = published(day, "fct_liquidation_risk")
    newest = found[found["snapshot_at"] == found["snapshot_at"].max()]
    assert set(newest["cohort_id"]) == set(COHORTS)
    for cohort, rows in newest.groupby("cohort_id"):
        truth = day.sandbox.market.truth_liquidation_risk(aware(rows["snapshot_at"].iloc[0]), cohort)
        rows = rows.set_index("coin").loc[truth.index]
        assert len(rows) == len(truth)
        assert list(rows["open_value_usd"]) == pytest.approx(list(truth["totalValue"]), abs=CENT)
        assert list(rows["at_risk_value_usd"]) == pytest.approx(list(truth["riskValue"]), abs=CENT)
        assert list(rows["at_risk_fraction"]) == pytest.approx(list(truth["riskValue"] / truth["totalValue"]))
        assert list(rows["reported_risk_pct"]) == pytest.approx(list(truth["percentRisk"]))
    risky = newest[(newest["at_risk_fraction"] > 0) & (newest["at_risk_fraction"] < 1)]
    assert ((100 * risky["at_risk_fraction"] - risky["reported_risk_pct"]).abs() > 1).any()


@pytest.mark.parametrize("period", ["day", "week", "month", "all"])
def test_the_leaderboard(day: Day, period: str) -> None:
    found = published(day, "fct_perp_pnl_leaderboard", f"period = '{period}'").sort_values("rank")
    truth = day.sandbox.market.truth_leaderboard(day.polled_at[Cadence.DAY, DAY], period)
    assert set(found["captured_at"]) == {pd.Timestamp(DAY.replace(tzinfo=None))}
    assert list(found["rank"]) == list(truth["rank"])
    assert list(found["address"]) == list(truth["address"])
    figures = {
        "pnl_usd": "pnl", "perp_equity_usd": "perpEquity", "gross_value_usd": "openValue", "long_value_usd": "openValueLong",
    }  # fmt: skip
    for column, name in figures.items():
        assert list(found[column]) == pytest.approx(list(truth[name]), abs=CENT), column


def test_volume_is_a_rolling_total(day: Day) -> None:
    found = published(day, "fct_perp_volume", f"snapshot_at <= '{LAST_SLOT}'")
    truth = day.sandbox.market.truth_perp_volume(DAY - timedelta(days=2), LAST_SLOT)
    assert list(found["snapshot_at"]) == times_of(truth)
    assert list(found["rolling_24h_volume_usd"]) == pytest.approx(list(truth["volume"]), abs=CENT)


def test_a_days_volume_is_its_last_reading(day: Day) -> None:
    found = published(day, "fct_perp_volume_daily").set_index("day")
    truth = day.sandbox.market.truth_perp_volume(DAY - timedelta(days=2), LAST_SLOT)
    truth.index = pd.DatetimeIndex(times_of(truth)).normalize()
    last = truth.groupby(level=0)["volume"].last()
    assert list(found.index) == list(last.index)
    assert list(found["rolling_24h_volume_usd"]) == pytest.approx(list(last), abs=CENT)
    assert list(found["reading_count"]) == list(truth.groupby(level=0)["volume"].size())
    assert list(found["is_whole_day"]) == [True, True, False]


def test_wallet_equity_keeps_what_is_not_known(day: Day) -> None:
    found = published(day, "fct_wallet_equity")
    # The two files that were polled are thinned out differently: rows of the first stay.
    files = [day.sandbox.market.truth_equity_history(asked_at) for asked_at in (day.polled_at[Cadence.DAY, DAY], LAST_SLOT)]
    truth = pd.concat(files).drop_duplicates("timestamp").sort_values("timestamp")
    assert len(truth) > len(files[0])
    assert list(found["snapshot_at"]) == times_of(truth, "timestamp")
    for part in EQUITY_PARTS:
        assert list(found[f"{part}_equity_usd"]) == pytest.approx(list(truth[part].astype(float)), abs=CENT, nan_ok=True), part
    assert found["vault_equity_usd"].isna().any()
    assert not found["is_suspect"].any()


def test_each_high_of_equity_is_its_own(day: Day) -> None:
    found = published(day, "fct_wallet_equity_highs").sort_values("known_at").groupby("equity_part")["high_usd"].last()
    assert dict(found) == pytest.approx(day.sandbox.market.truth_equity_highs(day.clock.now()), abs=CENT)


@pytest.mark.parametrize("coin", COINS)
def test_positions_opened_within_the_week(day: Day, coin: str) -> None:
    found = published(day, "fct_positions", f"coin = '{coin}'").set_index("position_id")
    asked_at = day.polled_at[Cadence.DAY, DAY]
    truth = day.sandbox.market.truth_position_lives(asked_at, DAY - timedelta(days=7), asked_at, coin).set_index("id")
    assert set(found.index) == set(truth.index)
    found = found.loc[truth.index]
    figures = {
        "size": "size", "entry_price": "entryPrice", "mark_price": "markPrice", "value_usd": "positionValue",
        "unrealized_pnl_usd": "unrealizedPnl", "funding_usd": "funding", "size_cohort_id": "sizeSegmentId",
        "pnl_cohort_id": "pnlSegmentId",
    }  # fmt: skip
    for column, name in figures.items():
        assert list(found[column]) == pytest.approx(list(truth[name]), abs=CENT), column
    assert list(found["liquidation_price"].fillna(0)) == pytest.approx(list(truth["liquidationPrice"]))
    assert list(found["leverage"]) == list(truth["crossLeverage"] + truth["isolatedLeverage"])
    assert list(found["margin_mode"]) == ["cross" if cross else "isolated" for cross in truth["crossLeverage"]]
    assert list(found["side"]) == list(truth["side"])
    assert list(found["address"]) == list(truth["address"])
    assert list(found["opened_at"]) == times_of(truth, "openTime")
    assert list(found["is_open"]) == list(truth["closeTime"].isna())
    closed = truth[truth["closeTime"].notna()]
    assert list(found.loc[closed.index, "closed_at"]) == times_of(closed, "closeTime")
