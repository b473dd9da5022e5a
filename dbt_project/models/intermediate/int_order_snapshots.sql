{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['coin', 'snapshot_at'],
    )
}}

with changed as (

    select distinct snapshot_at
    from {{ ref('int_snapshot_payloads') }}
    where dataset = 'order_snapshots' and {{ is_new_load('newest_load_seq') }}

),

-- A mark may have come twice: as a coin's file or pages, and as the file of the whole exchange.
snapshots as (

    select *
    from {{ ref('int_snapshot_payloads') }}
    where dataset = 'order_snapshots' and snapshot_at in (select changed.snapshot_at from changed)

),

counted as (

    select
        _load_seq,
        coin,
        max(height) as block_height,
        count(*) as row_count,
        count(distinct order_id) as order_count
    from {{ ref('stg_order_snapshots') }}
    where not is_foreign and _load_seq in (select snapshots.load_seq from snapshots)
    group by _load_seq, coin

)

select
    counted.coin,
    snapshots.snapshot_at,
    counted.block_height,
    counted.row_count,
    counted.order_count,
    snapshots.known_at,
    snapshots.payload_id,
    snapshots.load_seq,
    max(snapshots.newest_load_seq) over (partition by counted.coin, snapshots.snapshot_at) as _load_seq
from snapshots
inner join counted on snapshots.load_seq = counted._load_seq
qualify
    row_number() over (
        partition by counted.coin, snapshots.snapshot_at order by snapshots.known_at desc, snapshots.payload_id desc
    ) = 1
