"""Questions of the page Coin: one coin over time, by size, by cohort, around its price."""

from __future__ import annotations

from datetime import timedelta

import duckdb
import pandas as pd

from dashboards.queries.spans import Span, frame, last_of_step

CHANGES = """
    position_count, position_count - past_position_count as position_count_change,
    gross_value_usd, gross_value_usd / nullif(past_gross_value_usd, 0) - 1 as gross_value_change_fraction,
    long_value_usd, short_value_usd, long_fraction, near_liquidation_value_usd
"""
# How often the dataset is polled at best, and as many columns as can be told apart beside 73 price ranges each.
SWEEP = timedelta(hours=2)
SNAPSHOTS = 84
NEWEST_OF_COIN = """
    snapshot_at = (
        select max(snapshot_at) from {table}
        where coin = $coin and snapshot_at between $since and $until {further})
"""


def coins(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Every coin with its open interest at its newest reading, largest first. One row per coin."""
    return frame(
        connection,
        """
        select coin, arg_max(long_value_usd, snapshot_at) as open_interest_usd from fct_coin_metrics
        group by coin order by open_interest_usd desc nulls last, coin
        """,
    )


def coin_sources(connection: duckdb.DuckDBPyConnection, coin: str, span: Span) -> pd.DataFrame:
    """Datasets that have the coin's series in the span, the richest first: rows of two describe the same, so one is chosen."""
    return frame(
        connection,
        """
        select dataset, count(*) as reading_count, max(snapshot_at) as newest_at from fct_coin_metrics
        where coin = $coin and snapshot_at between $since and $until and (is_on_grid or dataset <> 'position_metrics_export')
        group by dataset order by reading_count desc, dataset
        """,
        {"coin": coin, **span.bounds},
    )


def coin_series(connection: duckdb.DuckDBPyConnection, coin: str, dataset: str, span: Span) -> pd.DataFrame:
    """Open interest and counts of one coin from one dataset; of the export only its even grid. One row per step."""
    return frame(
        connection,
        f"""
        select snapshot_at, long_value_usd as open_interest_usd, short_value_usd, position_count,
            coalesce(long_position_count, position_count - short_position_count) as long_position_count,
            coalesce(short_position_count, position_count - long_position_count) as short_position_count,
            unrealized_pnl_usd
        from fct_coin_metrics
        where coin = $coin and dataset = $dataset and snapshot_at between $since and $until
            and (is_on_grid or dataset <> 'position_metrics_export')
        {last_of_step()} order by snapshot_at
        """,
        {"coin": coin, "dataset": dataset, **span.values},
    )


def by_size(connection: duckdb.DuckDBPyConnection, coin: str, span: Span) -> pd.DataFrame:
    """The newest breakdown by position size, with the change since the earlier time it names. One row per size bucket."""
    newest = NEWEST_OF_COIN.format(table="fct_size_bucket_metrics", further="and dataset = 'breakdown_by_size_export'")
    return frame(
        connection,
        f"""
        select coalesce(buckets.label, 'bucket ' || size_bucket_id) as size_bucket, {CHANGES}, snapshot_at
        from fct_size_bucket_metrics left join dim_size_bucket as buckets using (size_bucket_id)
        where coin = $coin and dataset = 'breakdown_by_size_export' and {newest} order by size_bucket_id
        """,
        {"coin": coin, **span.bounds},
    )


def by_cohort(connection: duckdb.DuckDBPyConnection, coin: str, axis: str, span: Span) -> pd.DataFrame:
    """The newest breakdown by cohort of one axis, with the change since the earlier time it names. One row per cohort."""
    newest = NEWEST_OF_COIN.format(table="fct_cohort_metrics", further="and dataset = 'breakdown_by_cohort_export'")
    return frame(
        connection,
        f"""
        select coalesce(cohorts.cohort_name, 'cohort ' || cohort_id) as cohort, {CHANGES}, snapshot_at
        from fct_cohort_metrics left join (from dim_cohort where valid_to_at is null) as cohorts using (cohort_id)
        where coin = $coin and fct_cohort_metrics.axis = $axis and dataset = 'breakdown_by_cohort_export' and {newest}
        order by cohorts.sort_order, cohort_id
        """,
        {"coin": coin, "axis": axis, **span.bounds},
    )


def price(connection: duckdb.DuckDBPyConnection, coin: str, span: Span) -> pd.DataFrame:
    """The middle of the book over time. One row per step."""
    return frame(
        connection,
        f"""
        select snapshot_at, mid_price from (
            select distinct snapshot_at, mid_price from fct_order_liquidity
            where coin = $coin and snapshot_at between $since and $until and mid_price is not null)
        {last_of_step()} order by snapshot_at
        """,
        {"coin": coin, **span.values},
    )


def liquidations(connection: duckdb.DuckDBPyConnection, coin: str, span: Span) -> pd.DataFrame:
    """Value that would be liquidated in each price range of the newest snapshot. One row per range with any."""
    newest = NEWEST_OF_COIN.format(table="fct_liquidation_heatmap", further="")
    return frame(
        connection,
        f"""
        select price_from, price_to, liquidation_value_usd, position_count, cohorts.cohort_name as most_impacted_cohort,
            snapshot_at
        from fct_liquidation_heatmap as bins
        left join (from dim_cohort where valid_to_at is null) as cohorts on cohorts.cohort_id = bins.most_impacted_cohort_id
        where coin = $coin and {newest} order by price_from
        """,
        {"coin": coin, **span.bounds},
    )


def liquidation_history(connection: duckdb.DuckDBPyConnection, coin: str, span: Span, low: float, high: float) -> pd.DataFrame:
    """The same over time, of ranges between two prices, each lasting until the next snapshot. One row per snapshot and range.

    Of each stretch the last snapshot is shown, for three stretches at most.
    """
    step = max(span.step_of(SNAPSHOTS), SWEEP / 2)
    spans = {"step": step, "longest": max(3 * step, 3 * SWEEP), "sweep": SWEEP}
    return frame(
        connection,
        """
        with kept as (
            from (
                select distinct snapshot_at from fct_liquidation_heatmap
                where coin = $coin and snapshot_at between $since and $until)
            qualify row_number() over (partition by time_bucket($step, snapshot_at) order by snapshot_at desc) = 1),
        snapshots as (
            select snapshot_at, lead(snapshot_at) over (order by snapshot_at) as next_at from kept)
        select snapshot_at, least(coalesce(next_at, snapshot_at + $sweep), snapshot_at + $longest) as until_at, price_from,
            price_to, liquidation_value_usd
        from fct_liquidation_heatmap join snapshots using (snapshot_at)
        where coin = $coin and price_to > $low and price_from < $high and liquidation_value_usd > 0
        order by snapshot_at, price_from
        """,
        {"coin": coin, "low": low, "high": high, **span.bounds, **spans},
    )


def resting(connection: duckdb.DuckDBPyConnection, coin: str, span: Span, has_triggers: bool) -> pd.DataFrame:
    """Resting orders by distance from the mid price in the newest snapshot. One row per price band and side."""
    newest = NEWEST_OF_COIN.format(table="fct_order_liquidity", further="")
    return frame(
        connection,
        f"""
        select price_band_from_pct, price_band_to_pct, side, sum(order_count)::bigint as order_count,
            sum(resting_value_usd) as resting_value_usd, any_value(mid_price) as mid_price, snapshot_at
        from fct_order_liquidity
        where coin = $coin and ($has_triggers or order_type = 'Limit') and {newest}
        group by all order by price_band_from_pct, side
        """,
        {"coin": coin, "has_triggers": has_triggers, **span.bounds},
    )
