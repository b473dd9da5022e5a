with positions as (

    select * from {{ source('exported', 'fct_open_positions') }}

),

snapshots as (

    select distinct
        coin,
        snapshot_at,
        snapshot_at_basis,
        known_at,
        payload_id
    from positions

),

pairs as (

    select
        *,
        lag(snapshot_at) over (partition by coin order by snapshot_at) as previous_snapshot_at,
        lag(known_at) over (partition by coin order by snapshot_at) as previous_known_at
    from snapshots

),

positions_now as (

    select
        pairs.coin,
        pairs.snapshot_at as pair_at,
        positions.position_id,
        positions.size,
        positions.value_usd,
        positions.size_cohort_id,
        positions.pnl_cohort_id
    from pairs
    inner join positions on pairs.coin = positions.coin and pairs.snapshot_at = positions.snapshot_at
    where pairs.previous_snapshot_at is not null

),

positions_before as (

    select
        pairs.coin,
        pairs.snapshot_at as pair_at,
        positions.position_id,
        positions.size,
        positions.value_usd,
        positions.size_cohort_id,
        positions.pnl_cohort_id
    from pairs
    inner join positions on pairs.coin = positions.coin and pairs.previous_snapshot_at = positions.snapshot_at

),

moves as (

    select
        coalesce(positions_now.coin, positions_before.coin) as coin,
        coalesce(positions_now.pair_at, positions_before.pair_at) as pair_at,
        positions_now.position_id is not null as is_open_now,
        positions_before.position_id is not null as was_open,
        positions_before.value_usd as value_before_usd,
        positions_now.value_usd as value_now_usd,
        (positions_now.size - positions_before.size) * positions_now.value_usd / nullif(positions_now.size, 0) as resized_usd,
        positions_now.size <> positions_before.size as is_resized,
        positions_before.size_cohort_id as size_cohort_before,
        positions_now.size_cohort_id as size_cohort_now,
        positions_before.pnl_cohort_id as pnl_cohort_before,
        positions_now.pnl_cohort_id as pnl_cohort_now
    from positions_now
    full outer join positions_before
        on
            positions_now.coin = positions_before.coin
            and positions_now.pair_at = positions_before.pair_at
            and positions_now.position_id = positions_before.position_id

),

by_axis as (

    select
        *,
        'size' as axis,
        size_cohort_before as cohort_before,
        size_cohort_now as cohort_now
    from moves

    union all

    select
        *,
        'pnl' as axis,
        pnl_cohort_before as cohort_before,
        pnl_cohort_now as cohort_now
    from moves

),

-- Every position is seen from the cohort it is in now, and from the one it was in, where that is another.
seen as (

    select
        *,
        cast(cohort_now as integer) as cohort_id,
        true as is_here_now,
        was_open and coalesce(cohort_before, 0) = coalesce(cohort_now, 0) as was_here
    from by_axis
    where is_open_now

    union all

    select
        *,
        cast(cohort_before as integer) as cohort_id,
        false as is_here_now,
        true as was_here
    from by_axis
    where was_open and (not is_open_now or coalesce(cohort_before, 0) <> coalesce(cohort_now, 0))

),

flows as (

    select
        coin,
        pair_at,
        cohort_id,
        axis,
        count_if(was_here) as previous_position_count,
        count_if(not was_open) as opened_position_count,
        count_if(not is_open_now) as closed_position_count,
        count_if(was_open and is_here_now and not was_here) as joined_position_count,
        count_if(is_open_now and not is_here_now) as left_position_count,
        count_if(is_here_now and was_here and is_resized) as resized_position_count,
        count_if(is_here_now) as position_count,
        coalesce(sum(value_before_usd) filter (where was_here), 0) as previous_gross_value_usd,
        coalesce(sum(value_now_usd) filter (where not was_open), 0) as opened_value_usd,
        coalesce(sum(value_before_usd) filter (where not is_open_now), 0) as closed_value_usd,
        coalesce(sum(value_now_usd) filter (where was_open and is_here_now and not was_here), 0) as joined_value_usd,
        coalesce(sum(value_before_usd) filter (where is_open_now and not is_here_now), 0) as left_value_usd,
        coalesce(sum(resized_usd) filter (where is_here_now and was_here), 0) as resized_value_usd,
        coalesce(
            sum(value_now_usd - value_before_usd - resized_usd) filter (where is_here_now and was_here), 0
        ) as revalued_value_usd,
        coalesce(sum(value_now_usd) filter (where is_here_now), 0) as gross_value_usd
    from seen
    where cohort_id is not null
    group by coin, pair_at, cohort_id, axis

)

select
    pairs.snapshot_at,
    flows.coin,
    flows.cohort_id,
    flows.axis,
    pairs.previous_snapshot_at,
    flows.previous_position_count,
    flows.opened_position_count,
    flows.closed_position_count,
    flows.joined_position_count,
    flows.left_position_count,
    flows.resized_position_count,
    flows.position_count,
    flows.previous_gross_value_usd,
    flows.opened_value_usd,
    flows.closed_value_usd,
    flows.joined_value_usd,
    flows.left_value_usd,
    flows.resized_value_usd,
    flows.revalued_value_usd,
    flows.gross_value_usd,
    flows.opened_value_usd - flows.closed_value_usd + flows.resized_value_usd as trading_value_usd,
    flows.joined_value_usd - flows.left_value_usd as migration_value_usd,
    pairs.snapshot_at_basis,
    greatest(pairs.known_at, pairs.previous_known_at) as known_at,
    pairs.payload_id
from flows
inner join pairs on flows.coin = pairs.coin and flows.pair_at = pairs.snapshot_at
