{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['source', 'scope', 'snapshot_at', 'measure'],
    )
}}

{%- set of_positions = {'count': 'count(*)', 'value': 'sum(value_usd order by position_id)'} %}

with coin_metrics as (

    select * from {{ ref('fct_coin_metrics') }}
    where {{ is_new_load() }}

),

cohort_metrics as (

    select * from {{ ref('fct_cohort_metrics') }}
    where {{ is_new_load() }}

),

bucket_metrics as (

    select * from {{ ref('fct_size_bucket_metrics') }}
    where {{ is_new_load() }}

),

market_metrics as (

    select * from {{ ref('fct_market_metrics') }}
    where {{ is_new_load() }}

),

order_snapshots as (

    select * from {{ ref('int_order_snapshots') }}
    where {{ is_new_load() }}

),

announced as (

    select * from {{ ref('stg_latest_order_snapshot') }}
    where {{ is_new_load() }}

),

open_positions as (

    select * from {{ ref('fct_open_positions') }}
    where {{ is_new_load() }}

),

-- Bins and positions may come in either order: a bin's positions are counted once both are there.
new_bins as (

    select distinct
        bins.coin,
        bins.snapshot_at
    from {{ ref('fct_liquidation_heatmap') }} as bins
    where {{ is_new_load('bins._load_seq') }}
    union
    select distinct
        open_positions.coin,
        open_positions.snapshot_at
    from open_positions

),

liquidation_bins as (

    select bins.*
    from {{ ref('fct_liquidation_heatmap') }} as bins
    semi join new_bins on bins.coin = new_bins.coin and bins.snapshot_at = new_bins.snapshot_at

),

near_bins as (

    select
        liquidation_bins.bin_index,
        positions.coin,
        positions.snapshot_at,
        positions.position_id,
        positions.value_usd,
        positions.payload_id,
        positions.known_at,
        greatest(positions._load_seq, liquidation_bins._load_seq) as _load_seq,
        liquidation_bins.price_from <= positions.liquidation_price
        and liquidation_bins.price_to > positions.liquidation_price as is_inside,
        -- Edges are sent rounded: a position this near to one may have been counted on its other side.
        abs(positions.liquidation_price - liquidation_bins.price_from) <= 2e-8 + 1e-6 * liquidation_bins.price_from
        or abs(positions.liquidation_price - liquidation_bins.price_to) <= 2e-8 + 1e-6 * liquidation_bins.price_to as is_at_edge
    from liquidation_bins
    inner join {{ ref('fct_open_positions') }} as positions
        on
            liquidation_bins.coin = positions.coin
            and liquidation_bins.snapshot_at = positions.snapshot_at
            and liquidation_bins.price_from * 0.999999 - 2e-8 <= positions.liquidation_price
            and liquidation_bins.price_to * 1.000001 + 2e-8 > positions.liquidation_price

),

binned_positions as (

    select
        * exclude (is_at_edge),
        bool_or(is_at_edge) over (partition by coin, snapshot_at, position_id) as is_at_edge
    from near_bins
    qualify row_number() over (partition by coin, snapshot_at, position_id order by is_inside desc, bin_index asc) = 1

),

counted as (

    {{ counted('coins', 'coin_metrics', where="dataset = 'coins'") }}
    union all
    {{ counted('coins_sum', 'coin_metrics',
        where="dataset = 'coins'", scope="'market'", value='sum(gross_value_usd order by coin)') }}
    union all
    {{ counted('position_metrics_head', 'coin_metrics',
        where="dataset = 'position_metrics_export' and not is_on_grid") }}
    union all
    {{ counted('coin_metrics', 'coin_metrics', where="dataset = 'coin_metrics'") }}
    union all
    {{ counted('heatmap_by_size_cohort', 'cohort_metrics',
        where="dataset = 'heatmap' and axis = 'size'", part='cohort_id') }}
    union all
    {{ counted('heatmap_by_pnl_cohort', 'cohort_metrics',
        where="dataset = 'heatmap' and axis = 'pnl'", part='cohort_id') }}
    union all
    {{ counted('breakdown_by_size_cohort', 'cohort_metrics',
        where="dataset = 'breakdown_by_cohort_export' and axis = 'size'", part='cohort_id') }}
    union all
    {{ counted('breakdown_by_pnl_cohort', 'cohort_metrics',
        where="dataset = 'breakdown_by_cohort_export' and axis = 'pnl'", part='cohort_id') }}
    union all
    {{ counted('segment_metrics_by_size_cohort', 'cohort_metrics',
        where="dataset = 'segment_metrics_export' and axis = 'size'", part='cohort_id') }}
    union all
    {{ counted('segment_metrics_by_pnl_cohort', 'cohort_metrics',
        where="dataset = 'segment_metrics_export' and axis = 'pnl'", part='cohort_id') }}
    union all
    {{ counted('breakdown_by_bucket', 'bucket_metrics',
        where="dataset = 'breakdown_by_size_export'", part='size_bucket_id') }}
    union all
    {{ counted('positions_by_bucket', 'open_positions', part='size_bucket_id', **of_positions) }}
    union all
    {{ counted('positions_by_size_cohort', 'open_positions', part='size_cohort_id', **of_positions) }}
    union all
    {{ counted('positions_by_pnl_cohort', 'open_positions', part='pnl_cohort_id', **of_positions) }}
    union all
    {{ counted('market', 'market_metrics', scope="'market'", value='sum(gross_open_interest_usd)') }}
    union all
    {{ counted('liquidation_bins', 'liquidation_bins',
        where="position_count > 0", part='bin_index', value='sum(liquidation_value_usd)') }}
    union all
    {{ counted('positions_by_bin', 'binned_positions', part='bin_index', **of_positions) }}
    union all
    {{ counted('positions_at_edges', 'binned_positions', where="is_at_edge", **of_positions) }}

),

measured as (

    select
        * exclude (position_count, gross_value_usd),
        unnest(['position_count', 'gross_value_usd']) as measure,
        unnest([position_count, gross_value_usd]) as part_value
    from counted

    union all
    {{ measured('coins_long', 'coin_metrics', 'value_usd', 'long_value_usd', where="dataset = 'coins'") }}
    union all
    {{ measured('coins_short', 'coin_metrics', 'value_usd', 'short_value_usd', where="dataset = 'coins'") }}
    union all
    {{ measured('market_long', 'market_metrics', 'value_usd', 'long_open_interest_usd', scope="'market'") }}
    union all
    {{ measured('market_short', 'market_metrics', 'value_usd', 'short_open_interest_usd', scope="'market'") }}
    union all

    select
        case dataset when 'heatmap' then 'heatmap_fractions' else 'segment_metrics_fractions' end as source,
        coin as scope,
        snapshot_at,
        cohort_id as part,
        payload_id,
        known_at,
        _load_seq,
        'long_fraction' as measure,
        reported_long_fraction as part_value
    from cohort_metrics
    where dataset in ('heatmap', 'segment_metrics_export') and position_count > 0

    union all
    {{ measured('order_rows', 'order_snapshots', 'order_count', 'row_count') }}
    union all
    {{ measured('order_ids', 'order_snapshots', 'order_count', 'order_count') }}
    union all
    {{ measured('order_times', 'order_snapshots', 'epoch_s', 'epoch(snapshot_at)') }}
    union all
    {{ measured('order_marks', 'order_snapshots', 'epoch_s', "epoch(time_bucket(interval '5 minutes', snapshot_at))") }}
    union all

    select
        'newest_order_snapshot' as source,
        'market' as scope,
        snapshot_at,
        0 as part,
        payload_id,
        known_at,
        _load_seq,
        'epoch_s' as measure,
        epoch(snapshot_at) as part_value
    from order_snapshots
    qualify row_number() over (partition by snapshot_at order by coin) = 1

    union all

    select
        'announced_order_snapshot' as source,
        'market' as scope,
        order_snapshot_at as snapshot_at,
        0 as part,
        _payload_id as payload_id,
        _fetched_at as known_at,
        _load_seq,
        'epoch_s' as measure,
        epoch(order_snapshot_at) as part_value
    from announced
    qualify row_number() over (partition by order_snapshot_at order by _fetched_at, _payload_id) = 1

)

select
    source,
    scope,
    snapshot_at,
    measure,
    map_from_entries(list(row(cast(part as integer), part_value) order by part)) as parts,
    sum(part_value order by part) as total_value,
    min(payload_id) as payload_id,
    max(known_at) as known_at,
    max(_load_seq) as _load_seq
from measured
where part_value is not null and part is not null
group by source, scope, snapshot_at, measure
