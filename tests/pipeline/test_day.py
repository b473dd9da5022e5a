"""A fault-free stretch of a day gives the facts, whole, the same however often it is repeated."""

from __future__ import annotations

from datetime import timedelta

import duckdb
import pandas as pd
import pytest

from orchestration.hypertracker.datasets import DATASETS
from orchestration.hypertracker.endpoint import Dataset
from orchestration.modelling import described_marts, prepare_manifest
from orchestration.pages import examples
from orchestration.rebuilding import rebuild
from orchestration.reporting import read_status
from tests.pipeline.conftest import ABOUT_POLLS, COINS, DAY, Day, dumped, load_only
from warehouse.connection import connect
from warehouse.query import connect_published, query

MARTS = (
    "dim_cohort", "dim_coin", "dim_size_bucket", "fct_cohort_bias", "fct_cohort_flows", "fct_cohort_metrics",
    "fct_cohort_summary", "fct_coin_metrics", "fct_liquidation_heatmap", "fct_liquidation_risk", "fct_market_metrics",
    "fct_open_positions", "fct_order_liquidity", "fct_order_versions", "fct_payload_keys", "fct_perp_pnl_leaderboard",
    "fct_perp_volume", "fct_perp_volume_daily", "fct_positions", "fct_reconciliations", "fct_size_bucket_metrics",
    "fct_wallet_equity", "fct_wallet_equity_highs", "fct_slot_coverage", "fct_api_usage",
)  # fmt: skip
VIEWS = ("latest_cohorts", "latest_positions", "liquidation_map", "open_interest")
EMPTY_ON_A_GOOD_DAY = ("fct_definition_changes", "fct_restatements")
THERE = tuple(sorted((*MARTS, *VIEWS, *EMPTY_ON_A_GOOD_DAY)))


@pytest.mark.parametrize("mart", MARTS)
def test_every_mart_is_published_with_rows_and_words(day: Day, mart: str) -> None:
    with connect_published(day.settings.published_file) as connection:
        assert connection.execute(f"select count(*) from {mart}").fetchone() != (0,)
        table = connection.execute("select comment from duckdb_tables() where table_name = ?", [mart]).fetchone()
        columns = connection.execute("select column_name, comment from duckdb_columns() where table_name = ?", [mart]).fetchall()
    assert table is not None
    assert "One row per" in table[0]
    assert [name for name, comment in columns if not comment] == []
    assert [name for name, _ in columns if name.startswith("_")] == []


def test_the_marts_are_these(day: Day) -> None:
    assert tuple(mart.name for mart in described_marts(prepare_manifest())) == THERE


@pytest.mark.parametrize("dataset", [dataset for dataset in DATASETS if dataset.feeds], ids=lambda dataset: dataset.name)
def test_every_dataset_has_rows_in_each_mart_it_feeds(day: Day, dataset: Dataset) -> None:
    with connect(day.settings.warehouse_file, read_only=True) as connection:
        for mart in dataset.feeds:
            columns = [row[0] for row in connection.execute(f"describe marts.{mart}").fetchall()]
            payloads = f"(select payload_id from ops.payloads where dataset = '{dataset.name}')"
            conditions = [f"{name} in {payloads}" for name in columns if name.endswith("payload_id")] or ["true"]
            row = connection.execute(f"select count(*) from marts.{mart} where {' or '.join(conditions)}").fetchone()
            assert row is not None
            assert row[0] > 0, mart


@pytest.mark.parametrize("mart", [*MARTS, *VIEWS])
def test_the_example_query_of_every_mart_answers(day: Day, mart: str) -> None:
    assert len(query(day.settings.published_file, examples()[mart])) > 0


@pytest.mark.parametrize("mart", EMPTY_ON_A_GOOD_DAY)
def test_the_example_query_of_a_mart_for_bad_days_runs(day: Day, mart: str) -> None:
    assert len(query(day.settings.published_file, examples()[mart])) == 0


def test_only_the_state_feeds_no_mart_of_its_own() -> None:
    assert [dataset.name for dataset in DATASETS if not dataset.feeds] == ["state_status"]


def test_every_dataset_arrived_at_every_slot_asked(day: Day) -> None:
    with connect(day.settings.warehouse_file, read_only=True) as connection:
        verdicts = connection.execute("select dataset, verdict, count(*) from ops.fetches group by all").fetchall()
    assert {dataset for dataset, _, _ in verdicts} == {dataset.name for dataset in DATASETS}
    assert {verdict for _, verdict, _ in verdicts} <= {"loaded", "unchanged"}


def test_coverage_tells_what_the_status_tells(day: Day) -> None:
    statuses = read_status(day.settings.warehouse_file, DATASETS, DAY, day.clock.now())
    frame = query(
        day.settings.published_file,
        "select dataset, count(*) as due, sum(has_arrived::int) as arrived, sum(requests_spent) as requests "
        "from fct_slot_coverage where is_planned or attempts > 0 group by dataset",
    ).set_index("dataset")
    for status in statuses:
        row = frame.loc[status.dataset]
        assert (row["due"], row["arrived"], row["requests"]) == (status.due, status.arrived, status.requests_spent), (
            status.dataset
        )
    usage = query(day.settings.published_file, "select sum(requests_spent), max(requests_budget) from fct_api_usage").iloc[0]
    assert tuple(usage) == (sum(status.requests_spent for status in statuses), 1_000_000)


def test_our_count_of_requests_is_the_servers(day: Day) -> None:
    statuses = read_status(day.settings.warehouse_file, DATASETS, DAY, day.clock.now())
    served = [request for request in day.sandbox.requests() if request.leg == "api"]
    assert sum(status.requests_spent for status in statuses) == len(served)


def test_the_token_never_reached_storage(day: Day) -> None:
    storage = [request for request in day.sandbox.requests() if request.leg == "storage"]
    assert storage
    assert not any(request.has_auth for request in storage)


def test_no_token_and_no_signature_is_kept_anywhere(day: Day) -> None:
    needles = (day.sandbox.token.encode(), b"Authorization", b"sig=", b"expires=")
    kept = [path for path in day.settings.data_dir.rglob("*") if path.is_file() and "dagster" not in path.parts]
    assert len(kept) > 50
    assert [(path, needle) for path in kept for needle in needles if needle in path.read_bytes()] == []


def test_polling_again_changes_no_fact(day: Day) -> None:
    before = dumped(day.settings.published_file)
    slot = DAY + timedelta(hours=2)
    results = day.tick(slot)
    assert all(result.succeeded for result in results), results
    after = dumped(day.settings.published_file)
    assert {name: after[name] for name in after if name not in ABOUT_POLLS} == {
        name: before[name] for name in before if name not in ABOUT_POLLS
    }
    assert all(after[name] != before[name] for name in ABOUT_POLLS)


def test_loading_again_changes_no_fact(day: Day) -> None:
    before = dumped(day.settings.published_file)
    day.pipeline.load(list(day.pipeline.vault.records()))
    day.pipeline.build()
    day.pipeline.publish()
    assert dumped(day.settings.published_file) == before


def test_rebuilding_from_the_vault_gives_the_same_facts(day: Day) -> None:
    before = dumped(day.settings.published_file)
    assert sum(len(rows) for rows in before.values()) > 1000
    rebuild(day.pipeline)
    assert dumped(day.settings.published_file) == before


@pytest.mark.long
def test_any_order_of_payloads_gives_the_same_facts(day: Day, new_day: object) -> None:
    from dataclasses import replace

    before = dumped(day.settings.published_file)
    other = day.settings.model_copy(update={"data_dir": day.settings.data_dir / "reversed"})
    pipeline = type(day.pipeline)(other, day.clock)
    pipeline.vault = day.pipeline.vault
    records = [replace(record) for record in day.pipeline.vault.records()]
    half = len(records) // 2
    for part in (records[half:][::-1], records[:half]):
        load_only(pipeline, part)
        pipeline.build()
    pipeline.publish()
    after = dumped(other.published_file)
    assert {name: _as_sorted_text(rows) for name, rows in after.items() if name not in ABOUT_POLLS} == {
        name: _as_sorted_text(rows) for name, rows in before.items() if name not in ABOUT_POLLS
    }


def _as_sorted_text(rows: list[tuple[object, ...]]) -> list[str]:
    """Rows as sorted text: NaN equals itself, and the order of rows does not count."""
    return sorted(str(row) for row in rows)


def test_a_plain_duckdb_and_pandas_open_the_published_file(day: Day) -> None:
    with duckdb.connect(str(day.settings.published_file), read_only=True) as connection:
        frame = connection.sql("from marts.fct_coin_metrics").df()
    assert isinstance(frame, pd.DataFrame)
    assert set(frame["coin"]) >= set(COINS)


def test_the_published_copy_cannot_be_written_or_left(day: Day, tmp_path: object) -> None:
    for sql in ("create table x (a int)", f"copy (select 1) to '{tmp_path}/x'", "select * from read_csv('/etc/passwd')"):
        with pytest.raises(Exception, match=r"(?i)read-only|disabled|permission|cannot"):
            query(day.settings.published_file, sql)


def test_three_versions_are_kept(day: Day) -> None:
    versions = list(day.settings.published_dir.glob("hypertracker-*Z.duckdb"))
    assert 1 <= len(versions) <= 3
    assert day.settings.published_file.is_symlink()


def test_assets_say_what_arrived(day: Day) -> None:
    import dagster as dg

    first_slot = dg.AssetRecordsFilter(dg.AssetKey(["raw", "open_positions"]), asset_partitions=["2026-03-24T00:00Z"])
    (record,) = day.instance.fetch_materializations(first_slot, limit=1).records
    assert record.asset_materialization is not None
    metadata = {name: value.value for name, value in record.asset_materialization.metadata.items()}
    assert metadata["requests_spent"] == len(COINS)
    assert sum(metadata["verdicts"].values()) == len(COINS)
    assert metadata["bytes"] > 1000


@pytest.mark.parametrize(
    ("dataset", "fact"),
    [
        ("coins", "fct_coin_metrics"),
        ("heatmap", "fct_cohort_metrics"),
        ("breakdown_by_cohort_export", "fct_cohort_metrics"),
        ("breakdown_by_size_export", "fct_size_bucket_metrics"),
        ("open_positions", "fct_open_positions"),
        ("liquidation_heatmap_export", "fct_liquidation_heatmap"),
        ("order_snapshots", "fct_order_liquidity"),
    ],
)
def test_every_snapshot_loaded_is_in_its_fact(day: Day, dataset: str, fact: str) -> None:
    with connect(day.settings.warehouse_file, read_only=True) as connection:
        loaded = connection.execute("select distinct snapshot_at from ops.payloads where dataset = ?", [dataset]).fetchall()
    condition = f"where dataset = '{dataset}'" if fact.endswith("_metrics") else ""
    shown = query(day.settings.published_file, f"select distinct snapshot_at from {fact} {condition}")
    assert {row[0] for row in loaded} == set(shown["snapshot_at"].dt.to_pydatetime())
