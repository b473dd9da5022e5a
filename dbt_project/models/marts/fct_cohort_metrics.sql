{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['dataset', 'snapshot_at'],
    )
}}

with {{ latest_versions(
    ref('int_cohort_metric_versions'), ['dataset', 'snapshot_at'], ['dataset', 'coin', 'cohort_id', 'snapshot_at'],
    ['heatmap', 'breakdown_by_cohort_export']
) }}

select
    snapshot_at,
    coin,
    cohort_id,
    dataset,
    {{ axis_of('cohort_id') }} as axis,
    position_count,
    long_position_count,
    short_position_count,
    gross_value_usd,
    long_value_usd,
    short_value_usd,
    long_value_usd / nullif(gross_value_usd, 0) as long_fraction,
    reported_long_fraction,
    near_liquidation_value_usd,
    past_position_count,
    past_gross_value_usd,
    snapshot_at_basis,
    first_known_at as known_at,
    first_payload_id as payload_id,
    _load_seq
from latest
