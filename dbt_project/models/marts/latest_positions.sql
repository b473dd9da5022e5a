{{ config(materialized='view') }}

with positions as (

    select * from {{ ref('fct_open_positions') }}

),

newest as (

    select
        coin,
        max(snapshot_at) as snapshot_at
    from positions
    group by coin

),

cohorts as (

    select * from {{ ref('dim_cohort') }}
    where valid_to_at is null

)

select
    positions.snapshot_at,
    positions.coin,
    positions.position_id,
    positions.address,
    positions.side,
    positions.size,
    positions.value_usd,
    positions.value_usd / nullif(positions.size, 0) as mark_price,
    positions.entry_price,
    positions.unrealized_pnl_usd,
    positions.liquidation_price,
    positions.leverage,
    positions.opened_at,
    size_cohorts.cohort_name as size_cohort_name,
    pnl_cohorts.cohort_name as pnl_cohort_name,
    positions.known_at
from positions
inner join newest on positions.coin = newest.coin and positions.snapshot_at = newest.snapshot_at
left join cohorts as size_cohorts on positions.size_cohort_id = size_cohorts.cohort_id
left join cohorts as pnl_cohorts on positions.pnl_cohort_id = pnl_cohorts.cohort_id
