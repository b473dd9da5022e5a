"""Questions of the page Wallets: single positions and the leaderboard. Wallet figures stand on a row, never summed over rows."""

from __future__ import annotations

import duckdb
import pandas as pd

from dashboards.queries.spans import Span, frame

MOVES = {"best": "rank", "climbed most": "places_climbed desc nulls last, rank", "fell most": "places_climbed nulls last, rank"}


def largest_positions(
    connection: duckdb.DuckDBPyConnection, coins: tuple[str, ...], side: str | None, span: Span, limit: int
) -> pd.DataFrame:
    """The largest open positions, each of its coin's newest snapshot in the span; no coins means all. One row per position."""
    return frame(
        connection,
        """
        with newest as (
            select coin, max(snapshot_at) as snapshot_at from fct_open_positions
            where snapshot_at between $since and $until and (len($coins) = 0 or list_contains($coins, coin)) group by coin)
        select coin, side, value_usd, unrealized_pnl_usd, leverage, entry_price, liquidation_price,
            liquidation_progress_pct, address, coalesce(cohorts.cohort_name, 'cohort ' || size_cohort_id) as size_cohort,
            opened_at, wallet_perp_equity_usd, wallet_open_position_count, snapshot_at, position_id
        from fct_open_positions as positions join newest using (coin, snapshot_at)
        left join (from dim_cohort where valid_to_at is null) as cohorts on cohorts.cohort_id = positions.size_cohort_id
        where $side is null or side = $side
        order by value_usd desc, position_id limit $limit
        """,
        {"coins": list(coins), "side": side, "limit": limit, **span.bounds},
    )


def leaderboard(connection: duckdb.DuckDBPyConnection, period: str, order: str, span: Span, limit: int) -> pd.DataFrame:
    """The newest list of a period captured in the span, in the order of `MOVES`. One row per wallet."""
    return frame(
        connection,
        f"""
        select rank, previous_rank - rank as places_climbed, address, pnl_usd, pnl_pct, volume_usd, perp_equity_usd,
            gross_value_usd, exposure_bias, captured_at as snapshot_at
        from fct_perp_pnl_leaderboard
        where period = $period and captured_at = (
            select max(captured_at) from fct_perp_pnl_leaderboard
            where period = $period and captured_at between date_trunc('day', $since::timestamp) and $until)
        order by {MOVES[order]} limit $limit
        """,
        {"period": period, "limit": limit, **span.bounds},
    )
