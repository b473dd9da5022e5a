with payloads as (

    select * from {{ source('raw', 'segments') }}

),

segments as (

    select
        unnest(from_json(document, '["JSON"]')) as segment,
        _payload_id,
        _fetched_at,
        _snapshot_at,
        _load_seq
    from payloads

)

select
    cast(segment ->> '$.id' as integer) as cohort_id,
    segment ->> '$.name' as cohort_name,
    segment ->> '$.category' as axis,
    cast(coalesce(segment ->> '$.criteria.minSize', segment ->> '$.criteria.minPnl') as double) as lower_bound_usd,
    cast(coalesce(segment ->> '$.criteria.maxSize', segment ->> '$.criteria.maxPnl') as double) as upper_bound_usd,
    _payload_id,
    _fetched_at,
    _snapshot_at,
    _load_seq
from segments
