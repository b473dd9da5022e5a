"""The marts against the generator's own truth: what was published is what the market was."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pytest

from tests.pipeline.conftest import COINS, Day
from warehouse.connection import open_reader
from warehouse.query import connect_published, query

CENT = 0.01
BOOK = (
    "order_id, address, side, limit_price, size, original_size, placed_at, order_type, is_trigger, trigger_price, "
    "trigger_condition, is_position_tpsl, is_reduce_only, is_untriggered, time_in_force, client_order_id, status, builder, "
    "builder_fee, children"
)


def latest(day: Day, fact: str, coin: str, dataset: str | None = None) -> tuple[datetime, pd.DataFrame]:
    where = f"coin = '{coin}'" + (f" and dataset = '{dataset}'" if dataset else "")
    frame = query(
        day.settings.published_file,
        f"select * from {fact} where {where} and snapshot_at = (select max(snapshot_at) from {fact} where {where})",
    )
    assert len(frame) > 0
    return frame["snapshot_at"].iloc[0].to_pydatetime().replace(tzinfo=UTC), frame


@pytest.mark.parametrize("coin", COINS)
@pytest.mark.parametrize("dataset", ["coins", "position_metrics_export"])
def test_coins(day: Day, coin: str, dataset: str) -> None:
    at, frame = latest(day, "fct_coin_metrics", coin, dataset)
    truth = day.sandbox.market.truth_coins(at).loc[coin]
    row = frame.iloc[0]
    assert (row["position_count"], row["long_position_count"]) == (truth["count"], truth["count_long"])
    assert row["gross_value_usd"] == pytest.approx(truth["value"], abs=CENT)
    assert row["long_value_usd"] == pytest.approx(truth["value_long"], abs=CENT)
    assert row["short_value_usd"] == pytest.approx(truth["value"] - truth["value_long"], abs=CENT)


@pytest.mark.parametrize("coin", COINS)
@pytest.mark.parametrize("dataset", ["heatmap", "segment_metrics_export", "breakdown_by_cohort_export"])
def test_cohorts_on_each_axis(day: Day, coin: str, dataset: str) -> None:
    at, frame = latest(day, "fct_cohort_metrics", coin, dataset)
    truth = day.sandbox.market.truth_cohorts(at, coin)
    found = frame[frame["position_count"] > 0].set_index("cohort_id").sort_index()
    assert list(found.index) == list(truth.index)
    assert list(found["position_count"]) == list(truth["count"])
    assert list(found["gross_value_usd"]) == pytest.approx(list(truth["value"]), abs=CENT)
    assert list(found["long_value_usd"]) == pytest.approx(list(truth["value_long"]), abs=CENT)
    by_axis = found.groupby("axis")["position_count"].sum()
    assert by_axis["size"] == by_axis["pnl"] == day.sandbox.market.truth_coins(at).loc[coin, "count"]


@pytest.mark.parametrize("coin", COINS)
def test_size_buckets(day: Day, coin: str) -> None:
    at, frame = latest(day, "fct_size_bucket_metrics", coin)
    truth = day.sandbox.market.truth_buckets(at, coin)
    found = frame.set_index("size_bucket_id").sort_index()
    assert list(found.index) == list(range(1, 11))
    assert list(found["position_count"]) == list(truth["count"])
    assert list(found["gross_value_usd"]) == pytest.approx(list(truth["value"]), abs=CENT)
    assert list(found["near_liquidation_value_usd"]) == pytest.approx(list(truth["near_value"]), abs=CENT)


@pytest.mark.parametrize("coin", COINS)
def test_liquidation_bins(day: Day, coin: str) -> None:
    at, frame = latest(day, "fct_liquidation_heatmap", coin)
    truth = day.sandbox.market.truth_liquidation_bins(at, coin)
    found = frame[frame["position_count"] > 0].set_index("bin_index").sort_index()
    assert list(found.index) == list(truth.index)
    assert list(found["position_count"]) == list(truth["count"])
    assert list(found["liquidation_value_usd"]) == pytest.approx(list(truth["value"]), abs=CENT)


@pytest.mark.parametrize("coin", COINS)
def test_open_positions_one_by_one(day: Day, coin: str) -> None:
    at, frame = latest(day, "fct_open_positions", coin)
    truth = day.sandbox.market.positions_at(at, coin).sort_values("id").reset_index(drop=True)
    found = frame.sort_values("position_id").reset_index(drop=True)
    assert list(found["position_id"]) == list(truth["id"])
    assert list(found["side"]) == list(truth["side"])
    assert list(found["value_usd"]) == pytest.approx(list(truth["value"]), abs=CENT)
    assert list(found["size_bucket_id"]) == list(truth["size_bucket_id"])
    assert list(found["size_cohort_id"]) == list(truth["profile_sizeSegmentId"])
    assert set(frame["snapshot_at_basis"]) == {"state"}


def test_the_market(day: Day) -> None:
    frame = query(day.settings.published_file, "select * from fct_market_metrics order by snapshot_at desc limit 1")
    at = frame["snapshot_at"].iloc[0].to_pydatetime().replace(tzinfo=UTC)
    truth = day.sandbox.market.truth_market(at)
    row = frame.iloc[0]
    assert row["position_count"] == truth["count"]
    assert row["gross_open_interest_usd"] == pytest.approx(truth["value"], rel=1e-9)
    assert row["positions_in_profit_count"] == truth["in_profit_count"]


@pytest.mark.parametrize("coin", COINS)
def test_every_order_snapshot_can_be_rebuilt(day: Day, coin: str) -> None:
    snapshots = query(
        day.settings.published_file, f"select distinct snapshot_at from fct_order_liquidity where coin = '{coin}' order by 1"
    )
    assert len(snapshots) >= 4
    for at in snapshots["snapshot_at"]:
        book = query(
            day.settings.published_file,
            f"select order_id, size, limit_price from orders_as_of('{coin}', '{at}') order by order_id",
        )
        truth = day.sandbox.market.orders_at(at.to_pydatetime().replace(tzinfo=UTC) + pd.Timedelta(seconds=60), coin)
        truth = truth.sort_values("oid")
        assert list(book["order_id"]) == list(truth["oid"])
        assert list(book["size"]) == pytest.approx(list(truth["sz"]))
        assert list(book["limit_price"]) == pytest.approx(list(truth["limitPx"]))


@pytest.mark.parametrize("coin", COINS)
@pytest.mark.parametrize("place", ["file", "lake"])
def test_every_book_is_row_for_row_that_of_its_payload(day: Day, coin: str, place: str) -> None:
    source = day.settings.published_file if place == "file" else day.settings.lake
    with open_reader(day.settings.warehouse_file) as working, connect_published(source) as published:
        snapshots = working.execute(
            "select snapshot_at, load_seq from intermediate.int_order_snapshots where coin = $1 order by 1", [coin]
        ).fetchall()
        assert len(snapshots) >= 4
        for at, load_seq in snapshots:
            sent = working.execute(
                f"select distinct on (order_id) {BOOK} from staging.stg_order_snapshots "
                "where _load_seq = $1 and coin = $2 order by order_id, _row_number",
                [load_seq, coin],
            ).fetchall()
            assert published.execute(f"select {BOOK} from orders_as_of($1, $2) order by order_id", [coin, at]).fetchall() == sent
            assert len(sent) >= 10
