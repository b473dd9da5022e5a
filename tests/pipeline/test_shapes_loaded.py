"""Forms that the contract leaves open: whichever the provider has chosen, the facts are the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pandas as pd
import pytest

from orchestration.hypertracker.datasets import BY_NAME
from orchestration.modelling import raise_for_failures
from orchestration.pipeline import Pipeline
from orchestration.runs import RunResult
from sandbox import Shapes
from tests.pipeline.conftest import DAY, Day
from tests.pipeline.test_truth_series import (
    BIAS_COLUMNS,
    COHORTS,
    SUMMARY_COLUMNS,
    SUMMARY_COLUMNS_OF_ALL,
    assert_row,
    aware,
    published,
)
from warehouse.connection import connect

pytestmark = pytest.mark.long

COINS = ("BTC", "kPEPE")
ASKED_AT = DAY + timedelta(seconds=5)
SIZES: dict[str, Any] = {"positions": 400, "orders": 60}
OTHERWISE = Shapes(
    bias_export="named_list", coin_positions="table", metrics_step_h=1, metrics_columns="even", leaderboard="table",
    leaderboard_periods="hours", open_positions="json",
)  # fmt: skip
AGAIN_OTHERWISE = Shapes(bias_export="map", coin_positions="missing", leaderboard="csv")


def poll(made: Day, *names: str) -> None:
    made.sandbox.clock.set(ASKED_AT)
    made.pipeline.poll([BY_NAME[name] for name in names], DAY)


@pytest.fixture(scope="module")
def otherwise(new_day: Any) -> Day:
    """Everything that has another form, in that form; one coin's export changes its form at the second slot."""
    made: Day = new_day(coins=",".join(COINS), shapes=OTHERWISE, summary_delivery="redirect", **SIZES)
    poll(made, "segments_bias_export", "position_metrics_export", "perp_pnl_leaderboard", "open_positions", "segment_summary")
    poll(made, "positions_export")
    later: Day = new_day(coins=",".join(COINS), shapes=Shapes(coin_positions="top"), **SIZES)
    slot = DAY + timedelta(hours=2)
    later.sandbox.clock.set(slot + timedelta(seconds=5))
    settings = later.settings.model_copy(update={"data_dir": made.settings.data_dir})
    Pipeline(settings, later.clock).poll([BY_NAME["positions_export"]], slot)
    raise_for_failures(made.pipeline.build())
    made.pipeline.publish()
    return made


@pytest.fixture(scope="module")
def again_otherwise(new_day: Any) -> tuple[Day, list[RunResult]]:
    """The remaining forms, the missing export polled as the schedule would."""
    made: Day = new_day(coins=",".join(COINS), shapes=AGAIN_OTHERWISE, **SIZES)
    poll(made, "segments_bias_export", "perp_pnl_leaderboard")
    return made, made.tick(DAY, only=("positions_export",))


@pytest.fixture(params=["otherwise", "again_otherwise"])
def either(request: pytest.FixtureRequest) -> Day:
    found = request.getfixturevalue(request.param)
    return found if isinstance(found, Day) else found[0]


def verdicts(made: Day, dataset: str) -> list[tuple[str, str]]:
    with connect(made.settings.warehouse_file, read_only=True) as connection:
        return connection.execute(
            "select scope, verdict from ops.fetches where dataset = ? order by slot, scope", [dataset]
        ).fetchall()


def test_the_bias_export_in_either_wrapper(either: Day) -> None:
    found = published(either, "fct_cohort_bias", "dataset = 'segments_bias_export'")
    times = sorted(set(found["snapshot_at"]))
    assert len(found) == len(times) * len(COHORTS) == 144 * 16
    for at, cohort in product((times[0], times[-1]), COHORTS):
        row = found[(found["snapshot_at"] == at) & (found["cohort_id"] == cohort)].iloc[0]
        assert_row(row, either.sandbox.market.truth_bias_row(aware(at), cohort, "24h"), BIAS_COLUMNS)


@pytest.mark.parametrize("period", ["day", "week", "month", "all"])
def test_the_leaderboard_in_either_form_and_spelling(either: Day, period: str) -> None:
    found = published(either, "fct_perp_pnl_leaderboard", f"period = '{period}'").sort_values("rank")
    truth = either.sandbox.market.truth_leaderboard(ASKED_AT, period)
    assert list(found["address"]) == list(truth["address"])
    for column, name in {
        "rank": "rank",
        "pnl_usd": "pnl",
        "perp_equity_usd": "perpEquity",
        "gross_value_usd": "openValue",
    }.items():
        assert list(found[column]) == pytest.approx(list(truth[name]), abs=0.01), column


@pytest.mark.parametrize("coin", COINS)
def test_hourly_metrics_whose_rows_carry_the_coin(otherwise: Day, coin: str) -> None:
    found = published(otherwise, "fct_coin_metrics", f"coin = '{coin}' and dataset = 'position_metrics_export'")
    gridded = found[found["is_on_grid"]]
    assert set(gridded["snapshot_at"].diff().dropna()) == {pd.Timedelta(hours=1)}
    assert len(gridded) >= 14 * 24 - 1
    assert not found["is_on_grid"].iloc[-1]
    for _, row in found.iloc[[0, len(found) // 2, -1]].iterrows():
        truth = otherwise.sandbox.market.truth_coin_metrics(aware(row["snapshot_at"]), coin)
        assert (row["position_count"], row["long_position_count"]) == (truth["positionCount"], truth["positionCountLong"])
        assert row["gross_value_usd"] == pytest.approx(truth["totalPositionValue"], abs=0.01)


@pytest.mark.parametrize("coin", COINS)
def test_open_positions_as_json(otherwise: Day, coin: str) -> None:
    found = published(otherwise, "fct_open_positions", f"coin = '{coin}'").sort_values("position_id")
    truth = otherwise.sandbox.market.positions_at(ASKED_AT, coin).sort_values("id")
    assert list(found["position_id"]) == list(truth["id"])
    for column, name in {"size": "size", "value_usd": "value", "funding_usd": "funding", "entry_price": "entryPrice"}.items():
        assert list(found[column]) == pytest.approx(list(truth[name])), column
    opened = [datetime.fromisoformat(text).astimezone(UTC) for text in truth["openTime"]]
    assert [aware(at) for at in found["opened_at"]] == opened


@pytest.mark.parametrize("age", ["all", "24h", "7d", "30d"])
def test_summaries_by_redirect(otherwise: Day, age: str) -> None:
    found = published(otherwise, "fct_cohort_summary", f"position_age = '{age}'").set_index("cohort_id")
    assert list(found.index) == list(COHORTS)
    for cohort, row in found.iterrows():
        truth = otherwise.sandbox.market.truth_segment_summary(ASKED_AT, cohort, age)
        assert_row(row, truth, SUMMARY_COLUMNS | (SUMMARY_COLUMNS_OF_ALL if age == "all" else {}))


def test_an_export_of_unknown_form_may_change_it(otherwise: Day) -> None:
    assert verdicts(otherwise, "positions_export") == [(coin, "loaded") for coin in COINS] * 2
    found = published(otherwise, "fct_payload_keys").groupby("snapshot_at")["key_path"].agg(set)
    assert len(found) == 2
    assert found.iloc[0] != found.iloc[1]


def test_an_export_that_does_not_exist_is_absent_and_fails_no_run(again_otherwise: tuple[Day, list[RunResult]]) -> None:
    made, results = again_otherwise
    assert [(result.succeeded, result.error) for result in results] == [(True, "")]
    assert verdicts(made, "positions_export") == [(coin, "absent") for coin in COINS]
