with payloads as (

    select * from {{ source('raw', 'breakdown_by_cohort_export') }}

),

cohorts as (

    select
        _scope as coin,
        unnest(from_json(document -> '$.breakdownByCohort', '["JSON"]')) as cohort,
        _payload_id,
        _fetched_at,
        _snapshot_at,
        _load_seq
    from payloads

)

select
    coin,
    cast(cohort ->> '$.segment.id' as integer) as cohort_id,
    cast(cohort ->> '$.positionCount' as bigint) as position_count,
    cast(cohort ->> '$.pastPositionCount' as bigint) as past_position_count,
    cast(cohort ->> '$.totalPositionValue' as double) as gross_value_usd,
    cast(cohort ->> '$.pastTotalPositionValue' as double) as past_gross_value_usd,
    cast(cohort ->> '$.totalPositionValueLong' as double) as long_value_usd,
    cast(cohort ->> '$.valueCloseToLiquidation' as double) as near_liquidation_value_usd,
    cast(cohort ->> '$.bias' as double) as reported_long_fraction,
    _payload_id,
    _fetched_at,
    _snapshot_at as snapshot_at,
    _load_seq
from cohorts
