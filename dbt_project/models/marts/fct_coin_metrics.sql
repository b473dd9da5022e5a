{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['dataset', 'snapshot_at'],
    )
}}

with {{ latest_versions(
    ref('int_coin_metric_versions'), ['dataset', 'snapshot_at'], ['dataset', 'coin', 'snapshot_at'], ['coins']
) }}

select
    snapshot_at,
    coin,
    dataset,
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
    snapshot_at_basis,
    first_known_at as known_at,
    first_payload_id as payload_id,
    _load_seq
from latest
