{{ config(materialized='view') }}

with metrics as (

    select * from {{ ref('fct_cohort_metrics') }}
    where dataset = 'heatmap'

),

cohorts as (

    select * from {{ ref('dim_cohort') }}
    where valid_to_at is null

)

select
    metrics.snapshot_at,
    metrics.coin,
    metrics.axis,
    cohorts.sort_order,
    metrics.cohort_id,
    cohorts.cohort_name,
    metrics.position_count,
    metrics.gross_value_usd,
    metrics.long_value_usd,
    metrics.short_value_usd,
    metrics.long_fraction,
    metrics.known_at
from metrics
inner join cohorts on metrics.cohort_id = cohorts.cohort_id
where metrics.snapshot_at = (select max(newest.snapshot_at) from metrics as newest)
