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
    'long_value_usd', 'short_value_usd', 'is_on_grid', 'gross_size', 'long_size', 'funding_usd', 'unrealized_pnl_usd',
] %}

with coins as (

    select * from {{ ref('stg_coins') }}
    where {{ is_new_load() }}

),

position_metrics_export as (

    select * from {{ ref('stg_position_metrics_export') }}
    where {{ is_new_load() }}

),

coin_metrics as (

    select * from {{ ref('stg_coin_metrics') }}
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
        cast(null as double) as gross_size,
        cast(null as double) as long_size,
        cast(null as double) as funding_usd,
        cast(null as double) as unrealized_pnl_usd,
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
        cast(null as double) as gross_size,
        cast(null as double) as long_size,
        cast(null as double) as funding_usd,
        cast(null as double) as unrealized_pnl_usd,
        _payload_id,
        _fetched_at,
        _load_seq
    from position_metrics_export

    union all

    select
        'coin_metrics' as dataset,
        coin,
        snapshot_at,
        'payload' as snapshot_at_basis,
        position_count,
        long_position_count,
        short_position_count,
        gross_value_usd,
        long_value_usd,
        short_value_usd,
        false as is_on_grid,
        gross_size,
        long_size,
        funding_usd,
        unrealized_pnl_usd,
        _payload_id,
        _fetched_at,
        _load_seq
    from coin_metrics

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
    gross_size,
    long_size,
    funding_usd,
    unrealized_pnl_usd,
    first_known_at,
    last_known_at,
    first_payload_id,
    last_payload_id,
    _load_seq
from merged
