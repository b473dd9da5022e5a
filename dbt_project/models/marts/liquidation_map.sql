{{ config(materialized='view') }}

with bins as (

    select * from {{ ref('fct_liquidation_heatmap') }}

),

newest as (

    select
        coin,
        max(snapshot_at) as snapshot_at
    from bins
    group by coin

)

select
    bins.snapshot_at,
    bins.coin,
    bins.price_from,
    bins.price_to,
    bins.liquidation_value_usd,
    bins.position_count,
    bins.known_at
from bins
inner join newest on bins.coin = newest.coin and bins.snapshot_at = newest.snapshot_at
