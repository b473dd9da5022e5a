with payloads as (

    select * from {{ source('raw', 'market_metrics') }}

),

metrics as (

    select
        unnest(from_json(document -> '$.metrics', '["JSON"]')) as metric,
        _payload_id,
        _fetched_at,
        _load_seq
    from payloads

)

select
    {{ utc_time("metric ->> '$.createdAt'") }} as snapshot_at,
    cast(metric ->> '$.id' as bigint) as source_id,
    cast(metric ->> '$.count' as bigint) as position_count,
    cast(metric ->> '$.countLong' as bigint) as long_position_count,
    cast(metric ->> '$.countShort' as bigint) as short_position_count,
    cast(metric ->> '$.openInterest' as double) as gross_open_interest_usd,
    cast(metric ->> '$.openInterestLong' as double) as long_open_interest_usd,
    cast(metric ->> '$.openInterestShort' as double) as short_open_interest_usd,
    cast(metric ->> '$.perpEquity' as double) as perp_equity_usd,
    cast(metric ->> '$.countInProfit' as bigint) as positions_in_profit_count,
    _payload_id,
    _fetched_at,
    _load_seq
from metrics
