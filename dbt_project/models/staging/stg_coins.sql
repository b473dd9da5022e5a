with payloads as (

    select * from {{ source('raw', 'coins') }}

),

coins as (

    select
        unnest(from_json(document, '[{{ '{"coin":"VARCHAR","totalValue":"DOUBLE","totalValueLong":"DOUBLE","totalValueShort":"DOUBLE","count":"BIGINT","countLong":"BIGINT","countShort":"BIGINT"}' }}]'), recursive := true),
        _payload_id,
        _fetched_at,
        _snapshot_at,
        _snapshot_at_basis,
        _load_seq
    from payloads

)

select
    coin,
    count as position_count,
    countlong as long_position_count,
    countshort as short_position_count,
    totalvalue as gross_value_usd,
    totalvaluelong as long_value_usd,
    totalvalueshort as short_value_usd,
    _payload_id,
    _fetched_at,
    _snapshot_at as snapshot_at,
    _snapshot_at_basis as snapshot_at_basis,
    _load_seq
from coins
