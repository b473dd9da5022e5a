with payloads as (

    select * from {{ source('raw', 'coin_metrics') }}

),

metrics as (

    select
        _scope as requested_coin,
        unnest(from_json(document -> '$.metrics', '["JSON"]')) as metric,
        _payload_id,
        _fetched_at,
        _load_seq
    from payloads

)

select
    requested_coin as coin,
    {{ coin_series_columns('metric') }},
    _payload_id,
    _fetched_at,
    _load_seq
from metrics
where coalesce(metric ->> '$.coin', requested_coin) = requested_coin
