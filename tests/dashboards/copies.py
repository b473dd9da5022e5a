"""A small published copy whose figures are known: two days of four coins, written by SQL, published by the real publisher.

Belongs here: rows and how they are published. Does not: what is asked of them (the tests).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import duckdb

from orchestration.modelling import described_marts, prepare_manifest
from orchestration.registering import prepare
from warehouse.connection import open_writer
from warehouse.marts import Mart
from warehouse.publish import STABLE_NAME, publish_file
from warehouse.raw_tables import quoted

NOW = datetime(2026, 3, 24, 4)
SINCE = NOW - timedelta(days=2)
COINS = {"BTC": 1_200_000_000.0, "ETH": 640_000_000.0, "xyz:GOLD": 90_000_000.0, "kPEPE": 1_500_000.0}
SIZE_COHORTS = ["Shrimp", "Fish", "Dolphin", "Apex Predator", "Small Whale", "Whale", "Tidal Whale", "Leviathan"]
PNL_COHORTS = [
    "Giga-Rekt", "Full Rekt", "Semi-Rekt", "Exit Liquidity",
    "Humble Earner", "Consistent Grinder", "Smart Money", "Money Printer",
]  # fmt: skip
BUCKETS = [
    "<$1k", "$1k-$10k", "$10k-$25k", "$25k-$50k", "$50k-$100k",
    "$100k-$250k", "$250k-$500k", "$500k-$1m", "$1m-$2.5m", ">$2.5m",
]  # fmt: skip
AXES = {"size": SIZE_COHORTS, "pnl": PNL_COHORTS}
TIMES = "generate_series(timestamp '{since}', timestamp '{until}', interval {step}) as times(snapshot_at)"
ROWS = {
    "fct_market_metrics": """
        select snapshot_at, 1e9 + epoch(snapshot_at - timestamp '{since}') as long_open_interest_usd,
            long_open_interest_usd as short_open_interest_usd, 2000 as position_count, 1200 as long_position_count,
            800 as short_position_count, 4e9 as perp_equity_usd, 900 as positions_in_profit_count from {every10}""",
    "fct_perp_volume": "select snapshot_at - interval 2 minute as snapshot_at, 5e9 as rolling_24h_volume_usd from {hourly}",
    "fct_perp_volume_daily": """
        select snapshot_at::date as day, snapshot_at, 5e9 as rolling_24h_volume_usd,
            snapshot_at::date < '2026-03-24' as is_whole_day
        from (values (timestamp '2026-03-22 23:58'), (timestamp '2026-03-23 23:58'),
            (timestamp '2026-03-24 03:58')) as v(snapshot_at)""",
    "fct_wallet_equity": """
        select snapshot_at, 3e10 as total_equity_usd, 6e9 as perp_equity_usd, 8e9 as spot_equity_usd,
            1.5e10 as staking_equity_usd,
            1e9 as vault_equity_usd, hour(snapshot_at) = 16 as is_suspect from {twelve_hours}""",
    "fct_coin_metrics": """
        select snapshot_at + offset_ as snapshot_at, coin, dataset, 100 as position_count, 60 as long_position_count,
            40 as short_position_count, open_interest_usd * 2 as gross_value_usd, open_interest_usd as long_value_usd,
            open_interest_usd as short_value_usd, dataset = 'position_metrics_export'
                and offset_ = interval 0 second as is_on_grid
        from {hourly} cross join coins cross join (values
            ('coins', interval 0 second), ('coin_metrics', interval 7 minute), ('coin_metrics', interval 37 minute),
            ('position_metrics_export', interval 0 second), ('position_metrics_export', interval 13 minute)) as sets(dataset,
                offset_)
        where snapshot_at < timestamp '{until}' or offset_ = interval 0 second""",
    "fct_cohort_metrics": """
        select snapshot_at, coin, cohort_id, dataset, axis, 10 as position_count, 12 as past_position_count,
            open_interest_usd / 4 as gross_value_usd, open_interest_usd / 5 as past_gross_value_usd,
                cohort_id / 16 as long_fraction,
            gross_value_usd * long_fraction as long_value_usd, gross_value_usd - long_value_usd as short_value_usd,
            1000 as near_liquidation_value_usd
        from {two_hours} cross join coins cross join cohorts
        cross join (values ('heatmap'), ('breakdown_by_cohort_export')) as sets(dataset)""",
    "fct_size_bucket_metrics": """
        select snapshot_at, coin, size_bucket_id, 'breakdown_by_size_export' as dataset, 10 * size_bucket_id as position_count,
            9 * size_bucket_id as past_position_count, open_interest_usd / 5 as gross_value_usd,
            if(size_bucket_id = 10, 0, open_interest_usd / 4) as past_gross_value_usd, 0.5 as long_fraction,
            gross_value_usd / 2 as long_value_usd, gross_value_usd / 2 as short_value_usd, 0 as near_liquidation_value_usd
        from {two_hours} cross join coins cross join buckets""",
    "fct_cohort_bias": """
        select snapshot_at, cohort_id, dataset, recency, axis, sin(cohort_id + epoch(snapshot_at) / 2e4) as exposure_bias,
            1.5 as exposure_ratio, 1e8 as long_value_usd, 9e7 as short_value_usd, 1e8 as perp_equity_usd
        from {hourly} cross join cohorts
        cross join (values ('segment_bias_history', 'all'), ('segments_bias_export', '24h')) as sets(dataset, recency)""",
    "fct_cohort_flows": """
        select snapshot_at, coin, cohort_id, axis, snapshot_at - interval 2 hour as previous_snapshot_at,
            100 * cohort_id as trading_value_usd,
            if(cohort_id % 2 = 0, 50, -50) as migration_value_usd, 7 as revalued_value_usd, 3 as opened_position_count,
            2 as closed_position_count, 1 as joined_position_count, 1 as left_position_count
        from {two_hours} cross join coins cross join cohorts""",
    "fct_liquidation_heatmap": """
        select snapshot_at, coin, bin as bin_index, 1000 * (0.5 + bin / 40) as price_from,
            1000 * (0.5 + (bin + 1) / 40) as price_to,
            1e5 * (1 + bin % 7) as liquidation_value_usd, bin as position_count, 1 + bin % 16 as most_impacted_cohort_id
        from {two_hours} cross join coins cross join range(40) as bins(bin)""",
    "fct_order_liquidity": """
        select snapshot_at, coin, if(band < 8, 'buy', 'sell') as side, order_type, edges[band + 1] as price_band_from_pct,
            edges[band + 2] as price_band_to_pct, 1000 as mid_price, 5 as order_count, 1e6 as resting_value_usd
        from {two_hours} cross join coins cross join range(16) as bands(band) cross join (values ('Limit'),
            ('Stop Market')) as types(order_type)
        cross join (select ['-infinity'::double, -50, -20, -10, -5, -2, -1, -0.5, 0, 0.5, 1, 2, 5, 10, 20, 50,
            'infinity'] as edges)""",
    "fct_open_positions": """
        select snapshot_at, coin, 'p' || number as position_id, '0x' || repeat(number::varchar, 20) as address,
            if(number % 2 = 0, 'long', 'short') as side, open_interest_usd / (number + 1) as value_usd,
                -500 as unrealized_pnl_usd,
            10 as leverage, 1000 as entry_price, if(number = 3, null, 800) as liquidation_price,
                5 * number as liquidation_progress_pct,
            1 as size_cohort_id, 9 as pnl_cohort_id, 5e6 as wallet_perp_equity_usd, 4 as wallet_open_position_count,
            timestamp '2026-03-01' as opened_at
        from {two_hours} cross join coins cross join range(12) as n(number)""",
    "fct_perp_pnl_leaderboard": """
        select timestamp '2026-03-24' as captured_at, captured_at as snapshot_at, period, '0xf' || rank as address, rank,
            if(rank = 5, null, 60 - rank) as previous_rank, 1e6 / rank as pnl_usd, 12.5 as pnl_pct, 1e7 as volume_usd,
            2e6 as perp_equity_usd, 3e6 as gross_value_usd, 0.4 as exposure_bias
        from range(1, 60) as r(rank) cross join (values ('day'), ('week'), ('month'), ('all')) as p(period)""",
    "fct_slot_coverage": """
        select snapshot_at as slot, dataset, scope, if(is_there, 'loaded', 'missed') as verdict, is_there as has_arrived,
            true as is_planned, not is_there as is_missing, if(is_there, '', 'nothing asked for it') as reason,
            if(is_there, '', '`htw heal`') as mend, 1 as attempts, is_there::int as requests_spent,
            if(not is_there and dataset = 'order_snapshots', timestamp '2026-04-20', null) as recoverable_until,
            if(not is_there and dataset = 'order_snapshots', 1, null) as cost_to_fix
        from (select *, not (hour(snapshot_at) = 3 and dataset in ('order_snapshots', 'open_positions')) as is_there
            from {hourly} cross join (
                select 'market_metrics' as dataset, '' as scope union all
                select dataset, coin from coins cross join (values ('order_snapshots'), ('open_positions')) as d(dataset)))""",
    "fct_api_usage": """
        select day::date as day, dataset, spent as requests_spent, 1000 as requests_budget, 0 as unchanged_poll_count,
            0 as unchanged_polls_saved, 1e6 as bytes
        from (values ('2026-03-23'), ('2026-03-24')) as d(day)
        cross join (values ('order_snapshots', 60), ('coins', 20), ('heatmap', 20)) as s(dataset, spent)""",
}  # fmt: skip


@contextmanager
def working_file(
    folder: Path, has_rows: bool = True, before: Callable[[duckdb.DuckDBPyConnection], object] | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An open working file with every fact and dimension by its contract, filled or empty; times end at `NOW`.

    Tables that `before` makes are left as they are.
    """
    with open_writer(folder / "warehouse.duckdb") as connection:
        prepare(connection)
        connection.execute("create schema if not exists marts")
        if before:
            before(connection)
        made = {
            row[0] for row in connection.execute("select table_name from duckdb_tables() where schema_name = 'marts'").fetchall()
        }
        for name, columns in _contracts().items():
            if name in made:
                continue
            definition = ", ".join(f"{quoted(key)} {kind}" for key, kind in columns.items())
            connection.execute(f"create table marts.{name} ({definition})")
        if has_rows:
            _fill(connection, made)
        yield connection


def publish(connection: duckdb.DuckDBPyConnection, folder: Path, at: datetime = NOW, only: str = "") -> Path:
    """A new version, of all marts or of one; the stable name, which points to it."""
    publish_file(connection, folder / "published", [mart for mart in _marts() if only in ("", mart.name)], at, anew=True)
    return folder / "published" / STABLE_NAME


def _fill(connection: duckdb.DuckDBPyConnection, made: set[str]) -> None:
    names = {
        name: TIMES.format(since=SINCE, until=NOW, step=step)
        for name, step in {"every10": "10 minute", "hourly": "1 hour", "two_hours": "2 hour", "twelve_hours": "12 hour"}.items()
    }
    connection.execute("create temp table coins as select * from (select unnest($1), unnest($2)) as v(coin, open_interest_usd)",
                       [list(COINS), list(COINS.values())])  # fmt: skip
    cohorts = [(cohort, order, axis) for axis, known in AXES.items() for order, cohort in enumerate(known, 1)]
    connection.execute("create temp table cohorts (cohort_id integer, cohort_name varchar, sort_order bigint, axis varchar)")
    connection.executemany("insert into cohorts values ($1, $2, $3, $4)", [(i, *row) for i, row in enumerate(cohorts, 1)])
    connection.execute("create temp table buckets (size_bucket_id integer, label varchar)")
    connection.executemany("insert into buckets values ($1, $2)", list(enumerate(BUCKETS, 1)))
    connection.execute("delete from marts.dim_cohort")
    connection.execute("insert into marts.dim_cohort by name select *, 1 as version from cohorts")
    connection.execute("insert into marts.dim_size_bucket by name select * from buckets")
    for mart in ROWS.keys() - made:
        sql = ROWS[mart]
        connection.execute(f"insert into marts.{mart} by name {sql.format(since=SINCE, until=NOW, **names)}")


@cache
def _contracts() -> dict[str, dict[str, str]]:
    nodes = prepare_manifest()["nodes"]
    return {
        mart.name: {name: column["data_type"] for name, column in nodes[f"model.hypertracker.{mart.name}"]["columns"].items()}
        for mart in _marts()
    }


@cache
def _marts() -> list[Mart]:
    # What stands behind them is not here: neither their history, nor what a view is of.
    known = described_marts(prepare_manifest())
    return [replace(mart, versions=None, is_view=False) for mart in known if mart.name.startswith(("fct_", "dim_"))]
