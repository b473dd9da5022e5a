"""Questions of the page Market: the whole exchange over time."""

from __future__ import annotations

import duckdb
import pandas as pd

from dashboards.queries.spans import Span, frame, last_of_step


def market(connection: duckdb.DuckDBPyConnection, span: Span) -> pd.DataFrame:
    """Open interest, positions, equity and positions in profit. One row per step."""
    return frame(
        connection,
        f"""
        select snapshot_at, long_open_interest_usd as open_interest_usd, short_open_interest_usd,
            position_count, long_position_count, short_position_count, perp_equity_usd,
            long_open_interest_usd / nullif(perp_equity_usd, 0) as open_interest_to_equity_ratio,
            positions_in_profit_count, positions_in_profit_count / nullif(position_count, 0) as in_profit_fraction
        from fct_market_metrics where snapshot_at between $since and $until {last_of_step()}
        order by snapshot_at
        """,
        span.values,
    )


def rolling_volume(connection: duckdb.DuckDBPyConnection, span: Span) -> pd.DataFrame:
    """Volume of the 24 hours before each reading: readings overlap, never sum them. One row per step."""
    return frame(
        connection,
        f"""
        select snapshot_at, rolling_24h_volume_usd from fct_perp_volume
        where snapshot_at between $since and $until {last_of_step()} order by snapshot_at
        """,
        span.values,
    )


def daily_volume(connection: duckdb.DuckDBPyConnection, span: Span) -> pd.DataFrame:
    """Volume of each UTC day whose last reading speaks for the whole of it. One row per day."""
    return frame(
        connection,
        """
        select day, rolling_24h_volume_usd as volume_usd, snapshot_at from fct_perp_volume_daily
        where is_whole_day and snapshot_at between $since and $until order by day
        """,
        span.bounds,
    )


def equity(connection: duckdb.DuckDBPyConnection, span: Span) -> pd.DataFrame:
    """Equity of all wallets by part, without suspect readings. One row per step."""
    return frame(
        connection,
        f"""
        select snapshot_at, total_equity_usd, perp_equity_usd, spot_equity_usd, staking_equity_usd, vault_equity_usd
        from fct_wallet_equity where not is_suspect and snapshot_at between $since and $until {last_of_step()}
        order by snapshot_at
        """,
        span.values,
    )
