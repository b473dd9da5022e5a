{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['dataset', 'snapshot_at'],
    )
}}

with {{ latest_versions(
    ref('int_cohort_bias_versions'), ['dataset', 'snapshot_at'], ['dataset', 'cohort_id', 'recency', 'snapshot_at'], []
) }},

measured as (

    select
        *,
        abs(reported_bias - (long_value_usd - short_value_usd) / nullif(perp_equity_usd, 0)) <= 0.011 as is_exposure
    from latest

),

-- One cohort may fit the scale by chance, all that have equity do not.
proven as (

    select
        *,
        coalesce(bool_and(is_exposure) over (partition by dataset, snapshot_at), false) as is_exposure_scale
    from measured

)

select
    snapshot_at,
    cohort_id,
    dataset,
    recency,
    {{ axis_of('cohort_id') }} as axis,
    -- The export's scale is not documented: its bias counts as signed exposure only where the values beside it prove that it is.
    case when dataset = 'segment_bias_history' or is_exposure_scale then reported_bias end as exposure_bias,
    exposure_ratio,
    open_value_usd,
    long_value_usd,
    short_value_usd,
    perp_equity_usd,
    reported_bias,
    'payload' as snapshot_at_basis,
    first_known_at as known_at,
    first_payload_id as payload_id,
    _load_seq
from proven
