{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['coin', 'snapshot_at'],
    )
}}

with snapshots as (

    select * from {{ ref('int_snapshot_payloads') }}
    where dataset = 'liquidation_heatmap_export' and {{ is_new_load('newest_load_seq') }}

),

bins as (

    select * from {{ ref('stg_liquidation_heatmap_export') }}
    where _load_seq in (select snapshots.load_seq from snapshots)

)

select
    snapshots.snapshot_at,
    bins.coin,
    bins.bin_index,
    bins.price_from,
    bins.price_to,
    bins.liquidation_value_usd,
    bins.position_count,
    bins.most_impacted_cohort_id,
    snapshots.snapshot_at_basis,
    snapshots.known_at,
    snapshots.payload_id,
    snapshots.newest_load_seq as _load_seq
from snapshots
inner join bins on snapshots.load_seq = bins._load_seq
