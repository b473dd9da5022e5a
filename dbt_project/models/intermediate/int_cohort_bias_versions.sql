{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['dataset', 'cohort_id', 'recency', 'snapshot_at', 'value_hash'],
    )
}}

{%- set keys = ['dataset', 'cohort_id', 'recency', 'snapshot_at'] -%}
{%- set measures = [
    'reported_bias', 'exposure_ratio', 'open_value_usd', 'long_value_usd', 'short_value_usd', 'perp_equity_usd',
] %}

with segment_bias_history as (

    select * from {{ ref('stg_segment_bias_history') }}
    where {{ is_new_load() }}

),

segments_bias_export as (

    select * from {{ ref('stg_segments_bias_export') }}
    where {{ is_new_load() }}

),

observations as (

    select
        'segment_bias_history' as dataset,
        cohort_id,
        recency,
        snapshot_at,
        reported_bias,
        exposure_ratio,
        open_value_usd,
        long_value_usd,
        short_value_usd,
        perp_equity_usd,
        _payload_id,
        _fetched_at,
        _load_seq
    from segment_bias_history

    union all

    select
        'segments_bias_export' as dataset,
        cohort_id,
        recency,
        snapshot_at,
        reported_bias,
        exposure_ratio,
        open_value_usd,
        long_value_usd,
        short_value_usd,
        perp_equity_usd,
        _payload_id,
        _fetched_at,
        _load_seq
    from segments_bias_export

),

{{ versions_of('observations', keys, measures) }}

select
    dataset,
    cohort_id,
    recency,
    snapshot_at,
    value_hash,
    reported_bias,
    exposure_ratio,
    open_value_usd,
    long_value_usd,
    short_value_usd,
    perp_equity_usd,
    first_known_at,
    last_known_at,
    first_payload_id,
    last_payload_id,
    _load_seq
from merged
