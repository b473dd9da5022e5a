{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['period', 'captured_at'],
    )
}}

with snapshots as (

    select * from {{ ref('int_snapshot_payloads') }}
    where dataset = 'perp_pnl_leaderboard' and {{ is_new_load('newest_load_seq') }}

),

entries as (

    select * from {{ ref('stg_perp_pnl_leaderboard') }}
    where _load_seq in (select snapshots.load_seq from snapshots)
    qualify row_number() over (partition by _load_seq, address order by rank) = 1

)

select
    snapshots.snapshot_at as captured_at,
    entries.period,
    entries.address,
    entries.rank,
    entries.previous_rank,
    entries.pnl_usd,
    entries.pnl_pct,
    entries.volume_usd,
    entries.perp_equity_usd,
    entries.gross_value_usd,
    entries.long_value_usd,
    entries.exposure_ratio,
    entries.exposure_bias,
    snapshots.snapshot_at,
    snapshots.snapshot_at_basis,
    snapshots.known_at,
    snapshots.payload_id,
    snapshots.newest_load_seq as _load_seq
from snapshots
inner join entries on snapshots.load_seq = entries._load_seq
