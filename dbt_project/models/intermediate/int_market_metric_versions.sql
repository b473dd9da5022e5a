{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['snapshot_at', 'value_hash'],
    )
}}

{%- set keys = ['snapshot_at'] -%}
{%- set measures = [
    'source_id', 'position_count', 'long_position_count', 'short_position_count', 'gross_open_interest_usd',
    'long_open_interest_usd', 'short_open_interest_usd', 'perp_equity_usd', 'positions_in_profit_count',
] %}

with observations as (

    select * from {{ ref('stg_market_metrics') }}
    where {{ is_new_load() }}

),

{{ versions_of('observations', keys, measures) }}

select
    snapshot_at,
    value_hash,
    source_id,
    position_count,
    long_position_count,
    short_position_count,
    gross_open_interest_usd,
    long_open_interest_usd,
    short_open_interest_usd,
    perp_equity_usd,
    positions_in_profit_count,
    first_known_at,
    last_known_at,
    first_payload_id,
    last_payload_id,
    _load_seq
from merged
