{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['coin', 'snapshot_at'],
    )
}}

with snapshots as (

    select * from {{ ref('int_order_snapshots') }}
    where {{ is_new_load() }}

),

orders as (

    select * from {{ ref('stg_order_snapshots') }}
    where not is_foreign and _load_seq in (select snapshots.load_seq from snapshots)
    qualify row_number() over (partition by _load_seq, coin, order_id order by _row_number) = 1

),

mids as (

    select
        _load_seq,
        coin,
        (
            max(limit_price) filter (where side = 'buy' and not is_trigger)
            + min(limit_price) filter (where side = 'sell' and not is_trigger)
        ) / 2 as mid_price
    from orders
    group by _load_seq, coin

),

priced as (

    select
        orders.*,
        mids.mid_price,
        coalesce(case when orders.is_trigger then orders.trigger_price end, orders.limit_price) as price
    from orders
    inner join mids on orders._load_seq = mids._load_seq and orders.coin = mids.coin

),

banded as (

    select
        *,
        [-100, -50, -20, -10, -5, -2, -1, -0.5, 0, 0.5, 1, 2, 5, 10, 20, 50, 100] as edges,
        100 * (price - mid_price) / mid_price as distance_pct
    from priced

),

bounded as (

    select
        *,
        list_max(list_filter(edges, lambda edge: edge <= distance_pct)) as price_band_from_pct,
        list_min(list_filter(edges, lambda edge: edge > distance_pct)) as price_band_to_pct
    from banded

)

select
    snapshots.snapshot_at,
    snapshots.coin,
    bounded.side,
    coalesce(bounded.order_type, 'unknown') as order_type,
    coalesce(cast(bounded.price_band_from_pct as double), cast('-infinity' as double)) as price_band_from_pct,
    coalesce(cast(bounded.price_band_to_pct as double), cast('infinity' as double)) as price_band_to_pct,
    any_value(bounded.mid_price) as mid_price,
    count(*) as order_count,
    -- In the order of ids: sums of doubles depend on it in their last digits, and facts must not depend on when rows came.
    sum(bounded.size order by bounded.order_id) as resting_size,
    sum(bounded.size * bounded.price order by bounded.order_id) as resting_value_usd,
    'payload' as snapshot_at_basis,
    any_value(snapshots.known_at) as known_at,
    any_value(snapshots.payload_id) as payload_id,
    max(snapshots._load_seq) as _load_seq
from snapshots
inner join bounded on snapshots.load_seq = bounded._load_seq and snapshots.coin = bounded.coin
group by
    snapshots.snapshot_at,
    snapshots.coin,
    bounded.side,
    bounded.order_type,
    bounded.price_band_from_pct,
    bounded.price_band_to_pct
