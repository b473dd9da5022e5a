{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['cohort_id', 'position_age', 'snapshot_at'],
    )
}}

with snapshots as (

    select * from {{ ref('int_snapshot_payloads') }}
    where dataset = 'segment_summary' and {{ is_new_load('newest_load_seq') }}

),

summaries as (

    select * from {{ ref('stg_segment_summary') }}
    where _load_seq in (select snapshots.load_seq from snapshots)

)

select
    snapshots.snapshot_at,
    summaries.cohort_id,
    summaries.position_age,
    {{ axis_of('summaries.cohort_id') }} as axis,
    summaries.trader_count,
    summaries.trader_count_24h_ago,
    summaries.traders_in_position_count,
    summaries.traders_in_profit_count,
    summaries.position_count,
    summaries.long_position_count,
    summaries.short_position_count,
    summaries.gross_value_usd,
    summaries.long_value_usd,
    coalesce(summaries.reported_short_value_usd, summaries.gross_value_usd - summaries.long_value_usd) as short_value_usd,
    summaries.exposure_bias,
    summaries.exposure_ratio,
    summaries.active_perp_equity_usd,
    summaries.perp_equity_usd,
    summaries.coin_count,
    snapshots.snapshot_at_basis,
    snapshots.known_at,
    snapshots.payload_id,
    snapshots.newest_load_seq as _load_seq
from snapshots
inner join summaries on snapshots.load_seq = summaries._load_seq
