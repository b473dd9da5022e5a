{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['position_id', 'value_hash'],
    )
}}

{%- set keys = ['position_id'] -%}
{%- set measures = [
    'coin', 'address', 'side', 'size', 'entry_price', 'mark_price', 'mid_price', 'premium_fraction', 'value_usd',
    'liquidation_price', 'unrealized_pnl_usd', 'funding_usd', 'leverage', 'margin_mode', 'max_leverage', 'opened_at',
    'closed_at', 'updated_at', 'size_cohort_id', 'pnl_cohort_id',
] %}

with positions as (

    select * from {{ ref('stg_positions') }}
    where {{ is_new_load() }}

),

{{ versions_of('positions', keys, measures) }}

select
    position_id,
    value_hash,
    coin,
    address,
    side,
    size,
    entry_price,
    mark_price,
    mid_price,
    premium_fraction,
    value_usd,
    liquidation_price,
    unrealized_pnl_usd,
    funding_usd,
    leverage,
    margin_mode,
    max_leverage,
    opened_at,
    closed_at,
    updated_at,
    size_cohort_id,
    pnl_cohort_id,
    first_known_at,
    last_known_at,
    first_payload_id,
    last_payload_id,
    _load_seq
from merged
