with payloads as (

    select * from {{ source('raw', 'perp_volume') }}

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
    cast(metric ->> '$.volume' as double) as rolling_24h_volume_usd,
    _payload_id,
    _fetched_at,
    _load_seq
from metrics
