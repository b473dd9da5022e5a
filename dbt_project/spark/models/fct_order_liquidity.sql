with versions as (

    select
        *,
        coalesce(case when is_trigger then trigger_price end, limit_price) as price
    from {{ source('exported', 'fct_order_versions') }}

),

-- Snapshots in which a book changed: the others are as the one before.
snapshots as (

    select
        coin,
        valid_from_at as snapshot_at
    from versions
    union
    select
        coin,
        valid_to_at as snapshot_at
    from versions
    where valid_to_at is not null

),

orders as (

    select
        snapshots.coin,
        snapshots.snapshot_at,
        versions.side,
        versions.order_type,
        versions.is_trigger,
        versions.limit_price,
        versions.size,
        versions.price
    from snapshots
    inner join versions
        on
            snapshots.coin = versions.coin
            and snapshots.snapshot_at >= versions.valid_from_at
            and (versions.valid_to_at is null or snapshots.snapshot_at < versions.valid_to_at)

),

mids as (

    select
        coin,
        snapshot_at,
        (
            max(limit_price) filter (where side = 'buy' and not is_trigger)
            + min(limit_price) filter (where side = 'sell' and not is_trigger)
        ) / 2 as mid_price
    from orders
    group by coin, snapshot_at

),

banded as (

    select
        orders.*,
        mids.mid_price,
        array(-100d, -50d, -20d, -10d, -5d, -2d, -1d, -0.5d, 0d, 0.5d, 1d, 2d, 5d, 10d, 20d, 50d, 100d) as edges,
        100 * (orders.price - mids.mid_price) / mids.mid_price as distance_pct
    from orders
    inner join mids on orders.coin = mids.coin and orders.snapshot_at = mids.snapshot_at

),

bounded as (

    select
        *,
        coalesce(array_max(filter(edges, edge -> edge <= distance_pct)), double('-infinity')) as price_band_from_pct,
        coalesce(array_min(filter(edges, edge -> edge > distance_pct)), double('infinity')) as price_band_to_pct
    from banded

)

select
    snapshot_at,
    coin,
    side,
    coalesce(order_type, 'unknown') as order_type,
    price_band_from_pct,
    price_band_to_pct,
    any_value(mid_price) as mid_price,
    count(*) as order_count,
    sum(size) as resting_size,
    sum(size * price) as resting_value_usd
from bounded
group by snapshot_at, coin, side, order_type, price_band_from_pct, price_band_to_pct
