{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['dataset', 'coin', 'snapshot_at'],
    )
}}

with {{ latest_versions(
    ref('int_size_bucket_metric_versions'), ['dataset', 'coin', 'snapshot_at'],
    ['dataset', 'coin', 'size_bucket_id', 'snapshot_at'], ['breakdown_by_size_export']
) }}

select
    snapshot_at,
    coin,
    size_bucket_id,
    dataset,
    position_count,
    long_position_count,
    short_position_count,
    gross_value_usd,
    long_value_usd,
    short_value_usd,
    long_value_usd / nullif(gross_value_usd, 0) as long_fraction,
    reported_long_fraction,
    near_liquidation_value_usd,
    past_position_count,
    past_gross_value_usd,
    snapshot_at_basis,
    first_known_at as known_at,
    first_payload_id as payload_id,
    _load_seq
from latest
