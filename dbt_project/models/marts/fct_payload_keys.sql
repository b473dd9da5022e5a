{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['coin', 'snapshot_at'],
    )
}}

with snapshots as (

    select * from {{ ref('int_snapshot_payloads') }}
    where dataset = 'positions_export' and {{ is_new_load('newest_load_seq') }}

),

leaves as (

    select * from {{ ref('stg_positions_export') }}
    where _load_seq in (select snapshots.load_seq from snapshots)

)

select
    snapshots.snapshot_at,
    leaves.coin,
    'positions_export' as dataset,
    leaves.key_path,
    string_agg(distinct leaves.json_type, ', ' order by leaves.json_type) as json_types,
    count(*) as value_count,
    count(distinct cast(leaves.json_value as varchar)) as distinct_value_count,
    min(cast(leaves.json_value as varchar)) as least_value,
    max(cast(leaves.json_value as varchar)) as greatest_value,
    any_value(snapshots.snapshot_at_basis) as snapshot_at_basis,
    any_value(snapshots.known_at) as known_at,
    any_value(snapshots.payload_id) as payload_id,
    max(snapshots.newest_load_seq) as _load_seq
from snapshots
inner join leaves on snapshots.load_seq = leaves._load_seq
group by snapshots.snapshot_at, leaves.coin, leaves.key_path
