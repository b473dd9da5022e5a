{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['dataset', 'coin', 'snapshot_at', 'value_hash'],
    )
}}

{%- set keys = ['dataset', 'coin', 'snapshot_at'] -%}
{%- set measures = [
    'snapshot_at_basis', 'position_count', 'long_position_count', 'short_position_count', 'gross_value_usd',
    'long_value_usd', 'short_value_usd', 'is_on_grid',
] %}

with coins as (

    select * from {{ ref('stg_coins') }}
    where {{ is_new_load() }}

),

position_metrics_export as (

    select * from {{ ref('stg_position_metrics_export') }}
    where {{ is_new_load() }}

),

observations as (

    select
        'coins' as dataset,
        coin,
        snapshot_at,
        snapshot_at_basis,
        position_count,
        long_position_count,
        short_position_count,
        gross_value_usd,
        long_value_usd,
        short_value_usd,
        false as is_on_grid,
        _payload_id,
        _fetched_at,
        _load_seq
    from coins

    union all

    select
        'position_metrics_export' as dataset,
        coin,
        snapshot_at,
        'payload' as snapshot_at_basis,
        position_count,
        long_position_count,
        short_position_count,
        gross_value_usd,
        long_value_usd,
        short_value_usd,
        is_on_grid,
        _payload_id,
        _fetched_at,
        _load_seq
    from position_metrics_export

),

{{ versions_of('observations', keys, measures) }}

select
    dataset,
    coin,
    snapshot_at,
    value_hash,
    snapshot_at_basis,
    position_count,
    long_position_count,
    short_position_count,
    gross_value_usd,
    long_value_usd,
    short_value_usd,
    is_on_grid,
    first_known_at,
    last_known_at,
    first_payload_id,
    last_payload_id,
    _load_seq
from merged
