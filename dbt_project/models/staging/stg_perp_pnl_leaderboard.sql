with payloads as (

    select * from {{ source('raw', 'perp_pnl_leaderboard') }}

),

entries as (

    select
        _scope as period,
        {{ table_records('document') }} as records,
        _payload_id,
        _fetched_at,
        _snapshot_at,
        _load_seq
    from payloads

),

numbered as (

    select
        period,
        unnest(records) as entry,
        generate_subscripts(records, 1) as place,
        _payload_id,
        _fetched_at,
        _snapshot_at,
        _load_seq
    from entries

)

{%- set suffix = "case period when 'day' then 'Day' when 'week' then 'Week' when 'month' then 'Month' else 'AllTime' end" %}

select
    period,
    lower(entry ->> '$.address') as address,
    coalesce(cast(entry ->> '$.rank' as bigint), place) as rank,
    cast(entry ->> '$.previousRank' as bigint) as previous_rank,
    cast(entry ->> '$.perpEquity' as double) as perp_equity_usd,
    cast(entry ->> '$.openValue' as double) as gross_value_usd,
    cast(entry ->> '$.openValueLong' as double) as long_value_usd,
    cast(entry ->> '$.exposureRatio' as double) as exposure_ratio,
    cast(entry ->> '$.bias' as double) as exposure_bias,
    cast(entry ->> ('$.pnl' || {{ suffix }}) as double) as pnl_usd,
    cast(entry ->> ('$.volume' || {{ suffix }}) as double) as volume_usd,
    cast(entry ->> ('$.pnlPercent' || {{ suffix }}) as double) as pnl_pct,
    _payload_id,
    _fetched_at,
    _snapshot_at as snapshot_at,
    _load_seq
from numbered
