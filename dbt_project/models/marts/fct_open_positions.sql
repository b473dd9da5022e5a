{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['coin', 'snapshot_at'],
    )
}}

with snapshots as (

    select * from {{ ref('int_snapshot_payloads') }}
    where dataset = 'open_positions' and {{ is_new_load('newest_load_seq') }}

),

positions as (

    select * from {{ ref('stg_open_positions') }}
    where not is_foreign and _load_seq in (select snapshots.load_seq from snapshots)
    qualify row_number() over (partition by _load_seq, position_id order by _row_number) = 1

)

select
    snapshots.snapshot_at,
    positions.coin,
    positions.position_id,
    positions.address,
    positions.dex,
    positions.side,
    positions.size,
    positions.value_usd,
    positions.entry_price,
    positions.unrealized_pnl_usd,
    positions.funding_usd,
    positions.liquidation_price,
    positions.liquidation_progress_pct,
    positions.leverage,
    positions.margin_mode,
    positions.opened_at,
    positions.size_cohort_id,
    positions.pnl_cohort_id,
    {{ size_bucket_of('positions.value_usd') }} as size_bucket_id,
    positions.wallet_total_equity_usd,
    positions.wallet_perp_equity_usd,
    positions.wallet_open_position_count,
    positions.wallet_pnl_usd,
    positions.wallet_balance_usd,
    snapshots.snapshot_at_basis,
    snapshots.known_at,
    snapshots.payload_id,
    snapshots.newest_load_seq as _load_seq
from snapshots
inner join positions on snapshots.load_seq = positions._load_seq
order by snapshots.snapshot_at, positions.coin, positions.address
