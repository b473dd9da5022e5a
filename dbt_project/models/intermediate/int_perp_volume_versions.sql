{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['snapshot_at', 'value_hash'],
    )
}}

{%- set keys = ['snapshot_at'] -%}
{%- set measures = [
    'source_id', 'rolling_24h_volume_usd',
] %}

with perp_volume as (

    select * from {{ ref('stg_perp_volume') }}
    where {{ is_new_load() }}

),

{{ versions_of('perp_volume', keys, measures) }}

select
    snapshot_at,
    value_hash,
    source_id,
    rolling_24h_volume_usd,
    first_known_at,
    last_known_at,
    first_payload_id,
    last_payload_id,
    _load_seq
from merged
