{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['cohort_id', 'snapshot_at'],
    )
}}

with snapshots as (

    select * from {{ ref('int_snapshot_payloads') }}
    where dataset = 'liquidation_risk' and {{ is_new_load('newest_load_seq') }}

),

risks as (

    select * from {{ ref('stg_liquidation_risk') }}
    where _load_seq in (select snapshots.load_seq from snapshots)

)

select
    snapshots.snapshot_at,
    risks.coin,
    risks.cohort_id,
    {{ axis_of('risks.cohort_id') }} as axis,
    risks.open_value_usd,
    risks.at_risk_value_usd,
    risks.at_risk_value_usd / nullif(risks.open_value_usd, 0) as at_risk_fraction,
    risks.reported_risk_pct,
    snapshots.snapshot_at_basis,
    snapshots.known_at,
    snapshots.payload_id,
    snapshots.newest_load_seq as _load_seq
from snapshots
inner join risks on snapshots.load_seq = risks._load_seq
