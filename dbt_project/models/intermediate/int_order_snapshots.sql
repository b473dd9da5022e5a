{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['coin', 'snapshot_at'],
    )
}}

with snapshots as (

    select * from {{ ref('int_snapshot_payloads') }}
    where dataset = 'order_snapshots' and {{ is_new_load('newest_load_seq') }}

),

orders as (

    select * from {{ ref('stg_order_snapshots') }}
    where _load_seq in (select load_seq from snapshots)

),

counted as (

    select
        _load_seq,
        max(height) as block_height,
        count(distinct order_id) filter (where not is_foreign) as order_count
    from orders
    group by _load_seq

)

select
    snapshots.scope as coin,
    snapshots.snapshot_at,
    counted.block_height,
    counted.order_count,
    snapshots.known_at,
    snapshots.payload_id,
    snapshots.load_seq,
    snapshots.newest_load_seq as _load_seq
from snapshots
inner join counted on snapshots.load_seq = counted._load_seq
