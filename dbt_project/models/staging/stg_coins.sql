with payloads as (

    select * from {{ source('raw', 'coins') }}

),

coins as (

    select
        unnest(from_json(document, '["JSON"]')) as listed,
        _payload_id,
        _fetched_at,
        _snapshot_at,
        _snapshot_at_basis,
        _load_seq
    from payloads

)

select
    listed ->> '$.coin' as coin,
    cast(listed ->> '$.count' as bigint) as position_count,
    cast(listed ->> '$.countLong' as bigint) as long_position_count,
    cast(listed ->> '$.countShort' as bigint) as short_position_count,
    cast(listed ->> '$.totalValue' as double) as gross_value_usd,
    cast(listed ->> '$.totalValueLong' as double) as long_value_usd,
    cast(listed ->> '$.totalValueShort' as double) as short_value_usd,
    _payload_id,
    _fetched_at,
    _snapshot_at as snapshot_at,
    _snapshot_at_basis as snapshot_at_basis,
    _load_seq
from coins
