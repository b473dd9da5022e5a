{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['dataset', 'scope', 'snapshot_at'],
    )
}}

with restated as (

    {{ restatements_of(
        ref('int_coin_metric_versions'), 'dataset', 'coin', ['position_count', 'gross_value_usd', 'long_value_usd']
    ) }}

    union all

    {{ restatements_of(
        ref('int_cohort_metric_versions'), 'dataset', "cohort_id || ' ' || coin",
        ['position_count', 'gross_value_usd', 'long_value_usd']
    ) }}

    union all

    {{ restatements_of(
        ref('int_size_bucket_metric_versions'), 'dataset', "size_bucket_id || ' ' || coin",
        ['position_count', 'gross_value_usd', 'long_value_usd']
    ) }}

    union all

    {{ restatements_of(
        ref('int_market_metric_versions'), "'market_metrics'", "''", ['position_count', 'gross_open_interest_usd', 'perp_equity_usd']
    ) }}

    union all

    {{ restatements_of(
        ref('int_cohort_bias_versions'), 'dataset', "cohort_id || ' ' || recency", ['reported_bias', 'open_value_usd']
    ) }}

    union all

    {{ restatements_of(ref('int_perp_volume_versions'), "'perp_volume'", "''", ['rolling_24h_volume_usd']) }}

    union all

    {{ restatements_of(
        ref('int_wallet_equity_versions'), "'wallets_equity_export'", "''",
        ['total_equity_usd', 'perp_equity_usd', 'spot_equity_usd', 'staking_equity_usd', 'vault_equity_usd']
    ) }}

)

select
    snapshot_at,
    dataset,
    scope,
    known_at,
    old_known_at,
    old_values,
    new_values,
    'payload' as snapshot_at_basis,
    old_payload_id,
    payload_id,
    _load_seq
from restated
