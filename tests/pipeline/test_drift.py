"""A market that changes under way: coins come and go, cohorts are redefined, the past is restated, pages repeat rows."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from orchestration.hypertracker.datasets import BY_NAME
from orchestration.modelling import raise_for_failures
from orchestration.pipeline import Pipeline
from sandbox import CohortRebounded, CohortRenamed, CoinDelisted, CoinListed, Fault, Restated
from tests.pipeline.conftest import ABOUT_POLLS, Day, dumped, load_only
from warehouse.connection import connect
from warehouse.query import query

# The equity file of this day has the one reading of vaults that is 0.
MIDNIGHT = datetime(2026, 3, 30, tzinfo=UTC)
BEFORE, NOON, AFTER, NEXT_DAY = (MIDNIGHT + timedelta(hours=hours) for hours in (10, 12, 14, 24))
RESTATED, FACTOR = MIDNIGHT + timedelta(hours=9, minutes=20), 1.5
COINS = ("BTC", "hyna:BTC", "kPEPE", "xyz:GOLD", "cash:GOLD", "flx:GOLD", "SOL", "HYPE")
TWINS = COINS[:6]
DELISTED, LISTED = "SOL", "HYPE"
DRIFT = (
    CoinDelisted(DELISTED, NOON),
    CoinListed(LISTED, MIDNIGHT + timedelta(hours=6)),
    CohortRenamed(3, NOON, "Reef Shark"),
    CohortRebounded(4, NOON, 120_000),
    Restated("BTC", NOON, RESTATED, FACTOR),
)
FEW_ROWS = 20
PER_SLOT = ("coins", "open_positions", "order_snapshots", "coin_metrics", "market_metrics", "position_metrics_export")
# Series that come in small pages whose edges repeat rows: the path, and the name of its list.
OVERLAPPING = {
    r"position-metrics/coin/BTC\?": "metrics", r"position-metrics/general": "metrics", r"perp-volume": "metrics",
    r"/positions\?.*coin=BTC": "positions",
}  # fmt: skip
AT_MIDNIGHT = ("segments", "positions", "coins", "open_positions", "perp_volume")


@pytest.fixture(scope="module")
def drifting(new_day: Any) -> Day:
    """Midnight, before noon, after it, and the midnight after: one build over all of it."""
    made: Day = new_day(coins=",".join(COINS), positions=900, orders=300, start=MIDNIGHT, drift=DRIFT)
    for path, name in OVERLAPPING.items():
        made.sandbox.faults.add(Fault(kind="overlap", path=path, name=name, rows=2))
    poll(made, MIDNIGHT, AT_MIDNIGHT)
    poll(made, BEFORE, (*PER_SLOT, "wallets_equity_export"))
    poll(made, AFTER, PER_SLOT)
    poll(made, NEXT_DAY, ("segments", "positions"))
    raise_for_failures(made.pipeline.build())
    made.pipeline.publish()
    return made


def poll(made: Day, slot: datetime, names: tuple[str, ...]) -> None:
    made.sandbox.clock.set(slot + timedelta(seconds=5))
    small_pages = {"coin_metrics", "market_metrics", "perp_volume", "positions"}
    chosen = [replace(BY_NAME[name], page_limit=FEW_ROWS) if name in small_pages else BY_NAME[name] for name in names]
    made.pipeline.poll(chosen, slot)


def naive(moment: datetime) -> pd.Timestamp:
    return pd.Timestamp(moment).tz_localize(None)


def aware(moment: Any) -> datetime:
    return pd.Timestamp(moment).to_pydatetime().replace(tzinfo=UTC)


def rows(made: Day, sql: str) -> pd.DataFrame:
    return query(made.settings.published_file, sql)


def verdicts(made: Day, dataset: str, slot: datetime) -> dict[str, str]:
    with connect(made.settings.warehouse_file, read_only=True) as connection:
        found = connection.execute(
            "select scope, verdict from ops.fetches where dataset = ? and slot = ?", [dataset, naive(slot)]
        ).fetchall()
    return dict(found)


PER_COIN = ("open_positions", "order_snapshots", "position_metrics_export")


@pytest.mark.proves("coin-dropped", sees="its slots are `absent`, the other coins go on")
@pytest.mark.parametrize("dataset", PER_COIN)
def test_a_coin_that_is_gone_is_absent_and_others_go_on(drifting: Day, dataset: str) -> None:
    assert set(verdicts(drifting, dataset, BEFORE).values()) == {"loaded"}
    expected = dict.fromkeys(COINS, "loaded") | {DELISTED: "absent"}
    assert verdicts(drifting, dataset, AFTER) == expected


@pytest.mark.proves("coin-added", sees="`absent` until the provider has it, polled from then on")
def test_a_coin_that_is_not_there_yet_is_absent_until_it_is(drifting: Day) -> None:
    expected = dict.fromkeys(COINS, "loaded") | {LISTED: "absent"}
    assert verdicts(drifting, "open_positions", MIDNIGHT) == expected


def test_a_coin_is_seen_from_its_first_to_its_last_listing(drifting: Day) -> None:
    found = rows(drifting, "select * from dim_coin").set_index("coin")
    states = {at: naive(drifting.sandbox.market.state_at(at + timedelta(seconds=5))) for at in (MIDNIGHT, BEFORE, AFTER)}
    seen = {coin: (row["first_seen_at"], row["last_seen_at"]) for coin, row in found.iterrows()}
    assert seen[DELISTED] == (states[MIDNIGHT], states[BEFORE])
    assert seen[LISTED] == (states[BEFORE], states[AFTER])
    assert seen["BTC"] == (states[MIDNIGHT], states[AFTER])


@pytest.mark.proves("coin-dropped", sees="its history stays")
def test_the_history_of_a_coin_that_is_gone_stays(drifting: Day) -> None:
    found = rows(drifting, f"select * from fct_open_positions where coin = '{DELISTED}'")
    assert_positions(drifting, DELISTED, found)
    assert found["snapshot_at"].nunique() == 2
    series = rows(drifting, f"select max(snapshot_at) as last from fct_coin_metrics where coin = '{DELISTED}'")
    assert naive(NOON) - pd.Timedelta(minutes=18) < series["last"].iloc[0] <= naive(NOON) + pd.Timedelta(minutes=18)


def assert_positions(made: Day, coin: str, found: pd.DataFrame) -> None:
    """Every snapshot of a coin has the positions the market had then, by id, size and value."""
    for at, snapshot in found.groupby("snapshot_at"):
        truth = made.sandbox.market.positions_at(aware(at), coin).sort_values("id")
        snapshot = snapshot.sort_values("position_id")
        assert list(snapshot["position_id"]) == list(truth["id"])
        assert list(snapshot["size"]) == pytest.approx(list(truth["size"]))
        assert list(snapshot["value_usd"]) == pytest.approx(list(truth["value"]))


@pytest.mark.parametrize("coin", TWINS)
def test_coins_of_one_name_keep_apart(drifting: Day, coin: str) -> None:
    found = rows(drifting, f"select * from fct_open_positions where coin = '{coin}'")
    assert found["snapshot_at"].nunique() == 3
    assert set(found["dex"]) == {coin.split(":")[0] if ":" in coin else "main"}
    assert_positions(drifting, coin, found)


@pytest.mark.parametrize("coin", TWINS)
@pytest.mark.parametrize("dataset", ["coins", "coin_metrics", "position_metrics_export"])
def test_sums_of_coins_of_one_name_keep_apart(drifting: Day, coin: str, dataset: str) -> None:
    found = rows(drifting, f"select * from fct_coin_metrics where coin = '{coin}' and dataset = '{dataset}' order by snapshot_at")
    newest = found.iloc[-1]
    truth = drifting.sandbox.market.truth_coin_metrics(aware(newest["snapshot_at"]), coin)
    assert newest["position_count"] == truth["positionCount"]
    assert newest["gross_value_usd"] == pytest.approx(truth["totalPositionValue"], abs=0.01)


def test_a_symbol_is_shared_and_a_coin_is_not(drifting: Day) -> None:
    found = rows(drifting, "select coin, dex, symbol from dim_coin").set_index("coin")
    assert dict(found["symbol"][list(TWINS)]) == {coin: coin.split(":")[-1] for coin in TWINS}
    assert len(set(zip(found["dex"], found["symbol"], strict=True))) == len(found)


@pytest.mark.parametrize("coin", COINS)
def test_every_order_counts_once(drifting: Day, coin: str) -> None:
    liquidity = rows(
        drifting,
        f"select snapshot_at, sum(order_count) as n from fct_order_liquidity where coin = '{coin}' group by all order by 1",
    )
    assert len(liquidity) == (1 if coin == DELISTED else 2)
    for at, count in zip(liquidity["snapshot_at"], liquidity["n"], strict=True):
        truth = drifting.sandbox.market.orders_at(aware(at) + timedelta(seconds=60), coin)
        book = rows(
            drifting,
            f"select order_id from fct_order_versions where coin = '{coin}' and valid_from_at <= '{at}' "
            f"and (valid_to_at is null or valid_to_at > '{at}') order by order_id",
        )
        assert count == len(truth)
        assert list(book["order_id"]) == sorted(truth["oid"])


def test_a_child_that_stands_on_its_own_too_is_one_order(drifting: Day) -> None:
    found = rows(drifting, "select coin, order_id, children from fct_order_versions where valid_to_at is null")
    ids = set(zip(found["coin"], found["order_id"], strict=True))
    children = [(child["coin"], child["oid"]) for text in found["children"] for child in json.loads(text)]
    repeated = [child for child in children if child in ids]
    assert repeated
    assert len(repeated) < len(children)
    assert not found.duplicated(["coin", "order_id"]).any()


def test_an_order_may_be_years_older_than_its_snapshot(drifting: Day) -> None:
    found = rows(drifting, "select placed_at, snapshot_at from fct_order_versions order by placed_at")
    assert found["placed_at"].iloc[0].year == 2023
    assert set(found["snapshot_at"].dt.year) == {2026}


@pytest.mark.proves("cohort-renamed", sees="`dim_cohort` has another version from then on")
def test_a_cohort_redefined_is_a_new_version(drifting: Day) -> None:
    found = rows(drifting, "select * from dim_cohort order by cohort_id, version")
    truth = [drifting.sandbox.market.truth_definitions(at).set_index("id") for at in (MIDNIGHT, NEXT_DAY)]
    changed = found[found["version"] == 2].set_index("cohort_id")
    assert list(changed.index) == [3, 4]
    assert set(changed["valid_from_at"]) == {naive(NEXT_DAY)}
    assert changed["valid_to_at"].isna().all()
    first = found[found["version"] == 1].set_index("cohort_id")
    assert first.loc[[3, 4], "valid_to_at"].tolist() == [naive(NEXT_DAY)] * 2
    assert first.drop([3, 4])["valid_to_at"].isna().all()
    for versions, expected in ((first, truth[0]), (changed, truth[1].loc[[3, 4]])):
        assert list(versions["cohort_name"]) == list(expected["name"])
        for column, name in (("lower_bound_usd", "lower"), ("upper_bound_usd", "upper")):
            assert list(versions[column]) == pytest.approx(list(expected[name]), nan_ok=True)
    assert (changed.loc[3, "cohort_name"], changed.loc[4, "lower_bound_usd"]) == ("Reef Shark", 120_000)


def test_a_redefinition_is_told_and_costs_no_payload(drifting: Day) -> None:
    told = rows(drifting, "select * from fct_definition_changes where dataset = 'segments' order by name")
    assert list(told["name"]) == ["cohort 3", "cohort 4"]
    assert set(told["change"]) == {"redefined"}
    assert json.loads(told["definition_before"].iloc[0])["name"] == "Apex Predator"
    assert json.loads(told["definition_after"].iloc[0])["name"] == "Reef Shark"
    with connect(drifting.settings.warehouse_file, read_only=True) as connection:
        assert connection.execute("select count(*) from ops.definition_changes where dataset = 'segments'").fetchone() == (2,)
        found = connection.execute("select distinct verdict from ops.fetches").fetchall()
    assert {verdict for (verdict,) in found} <= {"loaded", "unchanged", "absent", "empty"}


def restated_row(made: Day, dataset: str) -> pd.Series[Any]:
    found = rows(made, f"select * from fct_restatements where dataset = '{dataset}'")
    assert len(found) == 1
    return found.iloc[0]


@pytest.mark.proves("past-value", sees="facts show the new value, `fct_restatements` both, and since when")
@pytest.mark.parametrize("dataset", ["coin_metrics", "position_metrics_export"])
def test_a_restated_value_is_shown_and_the_old_one_kept(drifting: Day, dataset: str) -> None:
    told = restated_row(drifting, dataset)
    at = told["snapshot_at"]
    assert naive(RESTATED) - pd.Timedelta(hours=2) < at <= naive(RESTATED)
    assert told["scope"] == "BTC"
    truth = drifting.sandbox.market.truth_coin_metrics(aware(at), "BTC")["totalPositionValue"]
    old, new = (json.loads(told[name])["gross_value_usd"] for name in ("old_values", "new_values"))
    assert (old, new) == pytest.approx((truth, truth * FACTOR), rel=1e-6)
    shown = rows(
        drifting, f"select * from fct_coin_metrics where coin = 'BTC' and dataset = '{dataset}' and snapshot_at = '{at}'"
    )
    assert list(shown["gross_value_usd"]) == [new]
    assert list(shown["payload_id"]) == [told["payload_id"]]
    assert told["payload_id"] != told["old_payload_id"]
    assert (aware(told["old_known_at"]) < NOON, aware(told["known_at"]) > NOON) == (True, True)


@pytest.mark.proves("past-value", sees="what was known before can be asked by the time it was known")
@pytest.mark.parametrize("dataset", ["coin_metrics", "position_metrics_export"])
def test_what_was_known_before_and_after_a_restatement_can_be_asked(drifting: Day, dataset: str) -> None:
    told = restated_row(drifting, dataset)
    where = f"where coin = 'BTC' and dataset = '{dataset}' and snapshot_at = '{told['snapshot_at']}'"
    old, new = (json.loads(told[name])["gross_value_usd"] for name in ("old_values", "new_values"))
    for known_at, expected in ((MIDNIGHT, []), (NOON, [old]), (NEXT_DAY, [new])):
        found = rows(drifting, f"select gross_value_usd from fct_coin_metrics_as_of(timestamp '{naive(known_at)}') {where}")
        assert list(found["gross_value_usd"]) == expected


def test_a_restated_market_names_both_values(drifting: Day) -> None:
    told = restated_row(drifting, "market_metrics")
    assert told["snapshot_at"].floor("10min") == naive(RESTATED)
    values = [json.loads(told[name]) for name in ("old_values", "new_values")]
    assert values[0]["gross_open_interest_usd"] < values[1]["gross_open_interest_usd"]
    assert values[0]["position_count"] == values[1]["position_count"]


def test_only_what_was_restated_is_told(drifting: Day) -> None:
    assert len(rows(drifting, "select * from fct_restatements")) == 3


def sent_row_count(made: Day, dataset: str, scope: str, slot: datetime) -> int:
    with connect(made.settings.warehouse_file, read_only=True) as connection:
        row = connection.execute(
            "select row_count from ops.fetches where dataset = ? and scope = ? and slot = ?", [dataset, scope, naive(slot)]
        ).fetchone()
    assert row is not None
    return int(row[0])


def as_times(texts: pd.Series[Any]) -> list[pd.Timestamp]:
    return [naive(datetime.fromisoformat(text)) for text in texts]


def test_pages_that_repeat_readings_add_none(drifting: Day) -> None:
    found = rows(drifting, "select snapshot_at from fct_coin_metrics where coin = 'BTC' and dataset = 'coin_metrics' order by 1")
    truth = drifting.sandbox.market.truth_coin_row_times("BTC", BEFORE - timedelta(hours=6), AFTER)
    assert list(found["snapshot_at"]) == as_times(truth["createdAt"])
    sent = sent_row_count(drifting, "coin_metrics", "BTC", BEFORE) + sent_row_count(drifting, "coin_metrics", "BTC", AFTER)
    overlap = drifting.sandbox.market.truth_coin_row_times("BTC", AFTER - timedelta(hours=6), BEFORE)
    assert sent > len(truth) + len(overlap)


def test_pages_that_repeat_volumes_add_none(drifting: Day) -> None:
    found = rows(drifting, "select snapshot_at from fct_perp_volume order by 1")
    truth = drifting.sandbox.market.truth_perp_volume(MIDNIGHT - timedelta(days=2), MIDNIGHT)
    assert list(found["snapshot_at"]) == as_times(truth["createdAt"])
    assert sent_row_count(drifting, "perp_volume", "", MIDNIGHT) > len(truth)


def test_pages_that_repeat_positions_add_none(drifting: Day) -> None:
    found = rows(drifting, "select position_id from fct_positions where coin = 'BTC'")
    since, first, last = MIDNIGHT - timedelta(days=7), MIDNIGHT + timedelta(seconds=5), NEXT_DAY + timedelta(seconds=5)
    truth = drifting.sandbox.market.truth_position_lives(last, since, last, "BTC")
    assert sorted(found["position_id"]) == sorted(truth["id"])
    sent_first = drifting.sandbox.market.truth_position_lives(first, since, first, "BTC")
    assert sent_row_count(drifting, "positions", "BTC", MIDNIGHT) > len(sent_first)


def test_a_position_closes_when_its_latest_version_says_so(drifting: Day) -> None:
    market, last = drifting.sandbox.market, NEXT_DAY + timedelta(seconds=5)
    found = rows(drifting, "select * from fct_positions").set_index("position_id")
    before, after = (
        market.truth_position_lives(at, MIDNIGHT - timedelta(days=6), MIDNIGHT).set_index("id")
        for at in (MIDNIGHT + timedelta(seconds=5), last)
    )
    closed = [key for key in before.index if before["closeTime"].isna()[key] and not after["closeTime"].isna()[key]]
    still_open = [key for key in before.index if after["closeTime"].isna()[key]]
    closed, still_open = ([key for key in keys if after["coin"][key] in COINS] for keys in (closed, still_open))
    assert closed
    assert still_open
    assert not found.loc[closed, "is_open"].any()
    assert list(found.loc[closed, "closed_at"]) == [naive(datetime.fromisoformat(at)) for at in after.loc[closed, "closeTime"]]
    assert (found.loc[closed, "version_count"] >= 2).all()
    assert found.loc[still_open, "is_open"].all()
    assert list(found.loc[still_open, "mark_price"]) == pytest.approx(list(after.loc[still_open, "markPrice"]))


def test_positions_of_a_coin_that_is_gone_are_closed_at_its_end(drifting: Day) -> None:
    # Only positions opened within the look-back of the last poll were asked for again.
    since = naive(NEXT_DAY - timedelta(days=7))
    found = rows(drifting, f"select * from fct_positions where coin = '{DELISTED}' and opened_at >= '{since}'")
    assert len(found) > 0
    assert not found["is_open"].any()
    assert found["closed_at"].max() == naive(NOON)


def facts(pipeline: Pipeline) -> dict[str, list[str]]:
    """Every published row as text, in an order of its own: NaN equals itself then."""
    tables = {**dumped(pipeline.settings.published_file), **dumped(pipeline.settings.published_file, "dim_")}
    tables = {name: found for name, found in tables.items() if name not in ABOUT_POLLS}
    return {name: sorted(map(str, found)) for name, found in tables.items()}


@pytest.mark.long
def test_changes_that_come_out_of_order_over_three_builds_give_the_same_facts(drifting: Day) -> None:
    settings = drifting.settings.model_copy(update={"data_dir": drifting.settings.data_dir / "parts"})
    pipeline = Pipeline(settings, drifting.clock)
    pipeline.vault = drifting.pipeline.vault
    records = list(drifting.pipeline.vault.records())
    for slots in ((AFTER,), (MIDNIGHT,), (BEFORE, NEXT_DAY)):
        load_only(pipeline, [record for record in records if record.slot in slots])
        raise_for_failures(pipeline.build())
    pipeline.publish()
    assert facts(pipeline) == facts(drifting.pipeline)


def test_the_one_zero_of_vault_equity_is_suspect(drifting: Day) -> None:
    found = rows(drifting, "select * from fct_wallet_equity")
    truth = drifting.sandbox.market.truth_equity_history(BEFORE).set_index("timestamp")
    assert list(found[found["is_suspect"]]["vault_equity_usd"]) == [0]
    assert list(found["vault_equity_usd"]) == pytest.approx(list(truth["vault"].astype(float)), abs=0.01, nan_ok=True)
