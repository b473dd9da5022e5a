{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['snapshot_at'],
    )
}}

with {{ latest_versions(ref('int_market_metric_versions'), ['snapshot_at'], ['snapshot_at'], []) }}

select
    snapshot_at,
    time_bucket(interval '10 minutes', snapshot_at) as grid_at,
    position_count,
    long_position_count,
    short_position_count,
    gross_open_interest_usd,
    long_open_interest_usd,
    short_open_interest_usd,
    perp_equity_usd,
    positions_in_profit_count,
    source_id,
    'payload' as snapshot_at_basis,
    first_known_at as known_at,
    first_payload_id as payload_id,
    _load_seq
from latest
