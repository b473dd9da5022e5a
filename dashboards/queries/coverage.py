"""Questions of the page Coverage, and the completeness that every chart states: what was due, what arrived, what can be had."""

from __future__ import annotations

from datetime import datetime, timedelta

import duckdb
import pandas as pd

from dashboards.queries.spans import Span, frame

CELLS = 60
DATASETS_NAMED = 7
# A cell of the picture is made of whole slots.
CELL_STEPS = tuple(timedelta(minutes=minutes) for minutes in (15, 30, 60, 120, 240, 480, 720, 1440, 2880, 10080))


def completeness(connection: duckdb.DuckDBPyConnection, coin: str | None, span: Span) -> pd.DataFrame:
    """Slots that were due in the span and that arrived, of one coin or of all. One row per dataset."""
    return frame(
        connection,
        """
        select dataset, count(*) filter (has_arrived or is_missing) as due_count, count(*) filter (has_arrived) as arrived_count
        from fct_slot_coverage
        where slot between $since and $until
            and ($coin is null or scope = '' or scope = $coin or starts_with(scope, $coin || ' ') or ends_with(scope,
                ' ' || $coin))
        group by dataset order by dataset
        """,
        {"coin": coin, **span.bounds},
    )


def cells(connection: duckdb.DuckDBPyConnection, span: Span, now: datetime) -> pd.DataFrame:
    """How slots ended, by stretches of time: all arrived, some, none that can be had, none. One row per dataset and stretch."""
    step = _step_of_cells(connection, span)
    return frame(
        connection,
        """
        with counted as (
            select dataset, time_bucket($step, slot) as since_at, count(*) filter (has_arrived) as arrived_count,
                count(*) filter (is_missing) as missing_count,
                count(*) filter (is_missing and recoverable_until > $now) as healable_count,
                min(recoverable_until) filter (is_missing and recoverable_until > $now) as recoverable_until,
                sum(requests_spent)::bigint as requests_spent
            from fct_slot_coverage where slot between $since and $until group by all)
        select dataset, since_at, since_at + $step as until_at,
            case when arrived_count + missing_count = 0 then 'not planned' when missing_count = 0 then 'arrived'
                when healable_count = missing_count then 'can be healed'
                    when arrived_count = 0 then 'lost' else 'in part' end as state,
            arrived_count, missing_count, healable_count, nullif(recoverable_until, '9999-12-31') as recoverable_until,
                requests_spent
        from counted order by dataset, since_at
        """,
        {"now": now, "step": step, **span.bounds},
    )


def totals(connection: duckdb.DuckDBPyConnection, span: Span, now: datetime) -> pd.DataFrame:
    """Slots that were due, arrived, are missing, can be healed, and what healing costs. One row."""
    return frame(
        connection,
        """
        select count(*) filter (has_arrived or is_missing) as due_count, count(*) filter (has_arrived) as arrived_count,
            count(*) filter (is_missing) as missing_count,
            count(*) filter (is_missing and recoverable_until > $now) as healable_count,
            coalesce(sum(cost_to_fix) filter (is_missing and recoverable_until > $now), 0)::bigint as cost_to_fix
        from fct_slot_coverage where slot between $since and $until
        """,
        {"now": now, **span.bounds},
    )


def missing(connection: duckdb.DuckDBPyConnection, span: Span, now: datetime) -> pd.DataFrame:
    """What did not arrive and why, what can be healed soonest lost first. One row per dataset, verdict, reason and mend."""
    return frame(
        connection,
        """
        select dataset, verdict, count(*) as slot_count, reason, replace(mend, '`', '') as mend,
            count(*) filter (recoverable_until > $now) as healable_count,
            min(recoverable_until) filter (recoverable_until > $now) as soonest_lost_at,
            case when soonest_lost_at >= '9999-12-31' then 'no end known' else strftime(soonest_lost_at, '%Y-%m-%d %H:%M') end
                as healable_until,
            sum(cost_to_fix) filter (recoverable_until > $now)::bigint as cost_to_fix, count(distinct scope) as scope_count,
            min(slot) as first_slot, max(slot) as last_slot
        from fct_slot_coverage where is_missing and slot between $since and $until
        group by dataset, verdict, reason, fct_slot_coverage.mend
        order by soonest_lost_at nulls last, slot_count desc, dataset limit 200
        """,
        {"now": now, **span.bounds},
    )


def requests(connection: duckdb.DuckDBPyConnection, span: Span) -> pd.DataFrame:
    """Requests spent on each UTC day, and the plan's budget of that day for all datasets together.

    One row per day and dataset, the most costly first; those that cost least are one.
    """
    return frame(
        connection,
        """
        with used as (from fct_api_usage where day between $since::date and $until::date),
        ranked as (
            select dataset, row_number() over (order by sum(requests_spent) desc, dataset) as place from used group by dataset)
        select day, if(place <= $named, dataset, 'all others') as dataset, sum(requests_spent)::bigint as requests_spent,
            max(requests_budget) as requests_budget, sum(unchanged_poll_count)::bigint as unchanged_poll_count,
            sum(unchanged_polls_saved)::bigint as unchanged_polls_saved, sum(bytes)::bigint as bytes
        from used join ranked using (dataset) group by all order by min(place), day
        """,
        {"named": DATASETS_NAMED, **span.bounds},
    )


def _step_of_cells(connection: duckdb.DuckDBPyConnection, span: Span) -> timedelta:
    """The finest step that shows all slots of the span in `CELLS` columns."""
    found = frame(
        connection,
        "select max(slot) - min(slot) as reach from fct_slot_coverage where slot between $since and $until",
        span.bounds,
    )
    reach = found["reach"].iloc[0]
    wanted = timedelta() if pd.isna(reach) else reach.to_pytimedelta() / CELLS
    return next((step for step in CELL_STEPS if step >= wanted), CELL_STEPS[-1])
