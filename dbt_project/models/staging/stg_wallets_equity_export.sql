with payloads as (

    select * from {{ source('raw', 'wallets_equity_export') }}

),

tables as (

    select
        {{ places_of(
            "from_json(document -> '$.history.columns', '[\"VARCHAR\"]')",
            ['timestamp', 'totalWalletsEquity', 'perpWalletsEquity', 'spotWalletsEquity', 'stakingWalletsEquity', 'vaultWalletsEquity']
        ) }} as places,
        0 as left_out_count,
        from_json(document -> '$.history.data', '[["VARCHAR"]]') as all_values,
        _payload_id,
        _fetched_at,
        _load_seq
    from payloads

),

data_rows as (

    select
        * exclude (all_values),
        unnest(all_values) as row_values
    from tables

)

select
    {{ utc_time(value_of('timestamp')) }} as snapshot_at,
    cast({{ value_of('totalWalletsEquity') }} as double) as total_equity_usd,
    cast({{ value_of('perpWalletsEquity') }} as double) as perp_equity_usd,
    cast({{ value_of('spotWalletsEquity') }} as double) as spot_equity_usd,
    cast({{ value_of('stakingWalletsEquity') }} as double) as staking_equity_usd,
    cast({{ value_of('vaultWalletsEquity') }} as double) as vault_equity_usd,
    _payload_id,
    _fetched_at,
    _load_seq
from data_rows
