with payloads as (

    select * from {{ source('raw', 'coin_cohort_metrics') }}

),

metrics as (

    select
        {{ scope_rest('_scope') }} as requested_coin,
        cast({{ scope_first('_scope') }} as integer) as requested_cohort_id,
        unnest(from_json(document -> '$.metrics', '["JSON"]')) as metric,
        _payload_id,
        _fetched_at,
        _load_seq
    from payloads

)

select
    requested_coin as coin,
    requested_cohort_id as cohort_id,
    {{ coin_series_columns('metric') }},
    _payload_id,
    _fetched_at,
    _load_seq
from metrics
where
    coalesce(metric ->> '$.coin', requested_coin) = requested_coin
    and coalesce(cast(metric ->> '$.segmentId' as integer), requested_cohort_id) = requested_cohort_id
