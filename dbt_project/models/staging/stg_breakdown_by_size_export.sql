with payloads as (

    select * from {{ source('raw', 'breakdown_by_size_export') }}

),

buckets as (

    select
        _scope as coin,
        unnest(from_json(document -> '$.breakdownBySize', '["JSON"]')) as bucket,
        _payload_id,
        _fetched_at,
        _snapshot_at,
        _load_seq
    from payloads

)

select
    coin,
    cast(bucket ->> '$.sizeSegmentId' as integer) as size_bucket_id,
    bucket ->> '$.size' as label,
    cast(bucket ->> '$.minSize' as double) as lower_bound_usd,
    cast(bucket ->> '$.maxSize' as double) as upper_bound_usd,
    cast(bucket ->> '$.positionCount' as bigint) as position_count,
    cast(bucket ->> '$.pastPositionCount' as bigint) as past_position_count,
    cast(bucket ->> '$.totalPositionValue' as double) as gross_value_usd,
    cast(bucket ->> '$.pastTotalPositionValue' as double) as past_gross_value_usd,
    cast(bucket ->> '$.totalPositionValueLong' as double) as long_value_usd,
    cast(bucket ->> '$.valueCloseToLiquidation' as double) as near_liquidation_value_usd,
    cast(bucket ->> '$.bias' as double) as reported_long_fraction,
    _payload_id,
    _fetched_at,
    _snapshot_at as snapshot_at,
    _load_seq
from buckets
