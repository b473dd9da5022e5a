{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['dataset', 'coin', 'size_bucket_id', 'snapshot_at', 'value_hash'],
    )
}}

{%- set keys = ['dataset', 'coin', 'size_bucket_id', 'snapshot_at'] -%}
{%- set measures = [
    'snapshot_at_basis', 'position_count', 'long_position_count', 'short_position_count', 'gross_value_usd',
    'long_value_usd', 'short_value_usd', 'reported_long_fraction', 'near_liquidation_value_usd', 'past_position_count', 'past_gross_value_usd',
] %}

with breakdown_by_size_export as (

    select * from {{ ref('stg_breakdown_by_size_export') }}
    where {{ is_new_load() }}

),

coin_size_bucket_metrics as (

    select * from {{ ref('stg_coin_size_bucket_metrics') }}
    where {{ is_new_load() }}

),

observations as (

    select
        'breakdown_by_size_export' as dataset,
        coin,
        size_bucket_id,
        snapshot_at,
        'payload' as snapshot_at_basis,
        position_count,
        cast(null as bigint) as long_position_count,
        cast(null as bigint) as short_position_count,
        gross_value_usd,
        long_value_usd,
        gross_value_usd - long_value_usd as short_value_usd,
        reported_long_fraction,
        near_liquidation_value_usd,
        past_position_count,
        past_gross_value_usd,
        _payload_id,
        _fetched_at,
        _load_seq
    from breakdown_by_size_export

    union all

    select
        'coin_size_bucket_metrics' as dataset,
        coin,
        size_bucket_id,
        snapshot_at,
        'payload' as snapshot_at_basis,
        position_count,
        long_position_count,
        short_position_count,
        gross_value_usd,
        long_value_usd,
        short_value_usd,
        cast(null as double) as reported_long_fraction,
        cast(null as double) as near_liquidation_value_usd,
        cast(null as bigint) as past_position_count,
        cast(null as double) as past_gross_value_usd,
        _payload_id,
        _fetched_at,
        _load_seq
    from coin_size_bucket_metrics

),

{{ versions_of('observations', keys, measures) }}

select
    dataset,
    coin,
    size_bucket_id,
    snapshot_at,
    value_hash,
    snapshot_at_basis,
    position_count,
    long_position_count,
    short_position_count,
    gross_value_usd,
    long_value_usd,
    short_value_usd,
    reported_long_fraction,
    near_liquidation_value_usd,
    past_position_count,
    past_gross_value_usd,
    first_known_at,
    last_known_at,
    first_payload_id,
    last_payload_id,
    _load_seq
from merged
