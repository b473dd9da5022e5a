with positions as (

    select * from {{ source('raw', 'open_positions') }}

)

select
    coin,
    _scope as requested_coin,
    coin <> _scope as is_foreign,
    id as position_id,
    address,
    dex,
    side,
    size,
    value as value_usd,
    entryprice as entry_price,
    unrealizedpnl as unrealized_pnl_usd,
    funding as funding_usd,
    nullif(liquidationprice, 0) as liquidation_price,
    liquidationprogress as liquidation_progress_pct,
    coalesce(nullif(isolatedleverage, 0), nullif(crossleverage, 0)) as leverage,
    case when isolatedleverage <> 0 then 'isolated' when crossleverage <> 0 then 'cross' end as margin_mode,
    opentime as opened_at,
    profile_sizesegmentid as size_cohort_id,
    profile_perppnlsegmentid as pnl_cohort_id,
    profile_totalequity as wallet_total_equity_usd,
    profile_perpequity as wallet_perp_equity_usd,
    profile_countopenpositions as wallet_open_position_count,
    profile_pnl as wallet_pnl_usd,
    profile_balance as wallet_balance_usd,
    _row_number,
    _payload_id,
    _fetched_at,
    _snapshot_at as snapshot_at,
    _snapshot_at_basis as snapshot_at_basis,
    _load_seq
from positions
