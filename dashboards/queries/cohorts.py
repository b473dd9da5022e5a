"""Questions of the page Cohorts: leanings of the sixteen cohorts, always one axis at a time.

Every position counts once on each axis, so nothing here reads both.
"""

from __future__ import annotations

import duckdb
import pandas as pd

from dashboards.queries.spans import Span, frame, last_of_step

PRESENT_COHORTS = "(from dim_cohort where valid_to_at is null)"


def cohorts(connection: duckdb.DuckDBPyConnection, axis: str) -> pd.DataFrame:
    """Names and bounds of an axis's cohorts, lowest bound first. One row per cohort."""
    return frame(
        connection,
        f"select cohort_id, cohort_name, lower_bound_usd, upper_bound_usd from {PRESENT_COHORTS} where axis = $axis "
        "order by sort_order",
        {"axis": axis},
    )


def bias_sources(connection: duckdb.DuckDBPyConnection, span: Span) -> pd.DataFrame:
    """Series of bias in the span, all positions first: a dataset and how old its positions may be. One row per series."""
    return frame(
        connection,
        """
        select dataset, recency, count(distinct snapshot_at) as reading_count from fct_cohort_bias
        where snapshot_at between $since and $until and exposure_bias is not null
        group by dataset, recency order by if(recency = 'all', 0, 1), dataset, recency
        """,
        span.bounds,
    )


def bias(connection: duckdb.DuckDBPyConnection, dataset: str, recency: str, axis: str, span: Span) -> pd.DataFrame:
    """Exposure bias of an axis's cohorts over all coins: signed, 0 is neutral, may exceed 1. One row per step and cohort."""
    return frame(
        connection,
        f"""
        select snapshot_at, coalesce(cohorts.cohort_name, 'cohort ' || cohort_id) as cohort, exposure_bias, exposure_ratio,
            long_value_usd, short_value_usd, perp_equity_usd
        from fct_cohort_bias as bias left join {PRESENT_COHORTS} as cohorts using (cohort_id)
        where bias.axis = $axis and dataset = $dataset and recency = $recency and snapshot_at between $since and $until
        {last_of_step("cohort_id")} order by cohorts.sort_order, cohort_id, snapshot_at
        """,
        {"axis": axis, "dataset": dataset, "recency": recency, **span.values},
    )


def coins_by_cohort(connection: duckdb.DuckDBPyConnection, axis: str, span: Span, coin_count: int) -> pd.DataFrame:
    """Leaning of an axis's cohorts in the coins of most value, in the newest sweep. One row per coin and cohort."""
    return frame(
        connection,
        f"""
        with newest as (
            from fct_cohort_metrics where dataset = 'heatmap' and axis = $axis and snapshot_at = (
                select max(snapshot_at) from fct_cohort_metrics
                where dataset = 'heatmap' and snapshot_at between $since and $until)),
        largest as (
            select coin, sum(gross_value_usd) as coin_value_usd from newest group by coin
            order by coin_value_usd desc, coin limit $coin_count)
        select coin, coalesce(cohorts.cohort_name, 'cohort ' || cohort_id) as cohort, long_fraction, long_value_usd,
            short_value_usd,
            gross_value_usd, position_count, snapshot_at
        from newest join largest using (coin) left join {PRESENT_COHORTS} as cohorts using (cohort_id)
        order by coin_value_usd desc, coin, cohorts.sort_order, cohort_id
        """,
        {"axis": axis, "coin_count": coin_count, **span.bounds},
    )


def flows(connection: duckdb.DuckDBPyConnection, coin: str | None, axis: str, span: Span) -> pd.DataFrame:
    """Why an axis's cohorts changed in the span: trading, migration of wallets, price; of one coin, or of all.

    One row per cohort.
    """
    return frame(
        connection,
        f"""
        select coalesce(cohorts.cohort_name, 'cohort ' || cohort_id) as cohort, sum(trading_value_usd) as trading_value_usd,
            sum(migration_value_usd) as migration_value_usd, sum(revalued_value_usd) as revalued_value_usd,
            sum(opened_position_count)::bigint as opened_position_count,
                sum(closed_position_count)::bigint as closed_position_count,
            sum(joined_position_count)::bigint as joined_position_count, sum(left_position_count)::bigint as left_position_count,
            count(distinct flows.snapshot_at) as snapshot_count, min(previous_snapshot_at) as since_at,
                max(flows.snapshot_at) as snapshot_at
        from fct_cohort_flows as flows left join {PRESENT_COHORTS} as cohorts using (cohort_id)
        where ($coin is null or coin = $coin) and flows.axis = $axis
            and previous_snapshot_at >= $since and flows.snapshot_at <= $until
        group by cohort_id, cohorts.cohort_name, cohorts.sort_order order by cohorts.sort_order, cohort_id
        """,
        {"coin": coin, "axis": axis, **span.bounds},
    )
