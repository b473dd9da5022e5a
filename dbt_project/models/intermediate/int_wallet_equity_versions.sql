{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['snapshot_at', 'value_hash'],
    )
}}

{%- set keys = ['snapshot_at'] -%}
{%- set measures = [
    'total_equity_usd', 'perp_equity_usd', 'spot_equity_usd', 'staking_equity_usd', 'vault_equity_usd',
] %}

with wallets_equity_export as (

    select * from {{ ref('stg_wallets_equity_export') }}
    where {{ is_new_load() }}

),

{{ versions_of('wallets_equity_export', keys, measures) }}

select
    snapshot_at,
    value_hash,
    total_equity_usd,
    perp_equity_usd,
    spot_equity_usd,
    staking_equity_usd,
    vault_equity_usd,
    first_known_at,
    last_known_at,
    first_payload_id,
    last_payload_id,
    _load_seq
from merged
