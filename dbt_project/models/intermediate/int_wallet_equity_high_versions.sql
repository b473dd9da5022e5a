{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['equity_part', 'value_hash'],
    )
}}

{%- set keys = ['equity_part'] -%}
{%- set measures = [
    'high_usd',
] %}

with wallets_equity_highs as (

    select * from {{ ref('stg_wallets_equity_highs') }}
    where {{ is_new_load() }}

),

{{ versions_of('wallets_equity_highs', keys, measures) }}

select
    equity_part,
    value_hash,
    high_usd,
    first_known_at,
    last_known_at,
    first_payload_id,
    last_payload_id,
    _load_seq
from merged
