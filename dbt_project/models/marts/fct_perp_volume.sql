{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['snapshot_at'],
    )
}}

with {{ latest_versions(ref('int_perp_volume_versions'), ['snapshot_at'], ['snapshot_at'], []) }}

select
    snapshot_at,
    rolling_24h_volume_usd,
    source_id,
    'payload' as snapshot_at_basis,
    first_known_at as known_at,
    first_payload_id as payload_id,
    _load_seq
from latest
