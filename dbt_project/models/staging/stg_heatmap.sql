with payloads as (

    select * from {{ source('raw', 'heatmap') }}

),

coins as (

    select
        unnest(from_json(document -> '$.heatmap', '["JSON"]')) as listed,
        _payload_id,
        _fetched_at,
        _snapshot_at,
        _snapshot_at_basis,
        _load_seq
    from payloads

),

cohorts as (

    select
        listed ->> '$.coin' as coin,
        unnest(from_json(listed -> '$.segments', '["JSON"]')) as cohort,
        _payload_id,
        _fetched_at,
        _snapshot_at,
        _snapshot_at_basis,
        _load_seq
    from coins

)

select
    coin,
    cast(cohort ->> '$.segmentId' as integer) as cohort_id,
    cast(cohort ->> '$.count' as bigint) as position_count,
    cast(cohort ->> '$.countLong' as bigint) as long_position_count,
    cast(cohort ->> '$.countShort' as bigint) as short_position_count,
    cast(cohort ->> '$.totalValue' as double) as gross_value_usd,
    cast(cohort ->> '$.totalLongValue' as double) as long_value_usd,
    cast(cohort ->> '$.totalShortValue' as double) as short_value_usd,
    cast(cohort ->> '$.bias' as double) as reported_long_fraction,
    _payload_id,
    _fetched_at,
    _snapshot_at as snapshot_at,
    _snapshot_at_basis as snapshot_at_basis,
    _load_seq
from cohorts
