with payloads as (

    select * from {{ source('raw', 'positions') }}

),

records as (

    select
        _scope as requested_coin,
        unnest(from_json(document -> '$.positions', '["JSON"]')) as record,
        _payload_id,
        _fetched_at,
        _slot,
        _load_seq
    from payloads

),

typed as (

    select
        *,
        from_json(record -> '$.profile.segments', '["INTEGER"]') as cohort_ids,
        cast(record ->> '$.isolatedLeverage' as double) as isolated_leverage,
        cast(record ->> '$.crossLeverage' as double) as cross_leverage
    from records

)

select
    record ->> '$.id' as position_id,
    record ->> '$.coin' as coin,
    lower(record ->> '$.address') as address,
    record ->> '$.side' as side,
    cast(record ->> '$.size' as double) as size,
    cast(record ->> '$.entryPrice' as double) as entry_price,
    cast(record ->> '$.markPrice' as double) as mark_price,
    cast(record ->> '$.midPrice' as double) as mid_price,
    cast(record ->> '$.premiumPrice' as double) as premium_fraction,
    cast(record ->> '$.positionValue' as double) as value_usd,
    nullif(cast(record ->> '$.liquidationPrice' as double), 0) as liquidation_price,
    cast(record ->> '$.unrealizedPnl' as double) as unrealized_pnl_usd,
    cast(record ->> '$.funding' as double) as funding_usd,
    coalesce(nullif(isolated_leverage, 0), nullif(cross_leverage, 0)) as leverage,
    case when isolated_leverage <> 0 then 'isolated' when cross_leverage <> 0 then 'cross' end as margin_mode,
    cast(record ->> '$.maxLeverage' as double) as max_leverage,
    {{ utc_time("record ->> '$.openTime'") }} as opened_at,
    {{ utc_time("record ->> '$.closeTime'") }} as closed_at,
    {{ utc_time("record ->> '$.updatedAt'") }} as updated_at,
    list_min(list_filter(cohort_ids, lambda id: {{ axis_of('id') }} = 'size')) as size_cohort_id,
    list_min(list_filter(cohort_ids, lambda id: {{ axis_of('id') }} = 'pnl')) as pnl_cohort_id,
    record ->> '$.dex' as reported_dex,
    requested_coin,
    _slot,
    _payload_id,
    _fetched_at,
    _load_seq
from typed
