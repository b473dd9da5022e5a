{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['position_id'],
    )
}}

with changed as (

    select distinct position_id
    from {{ ref('int_position_versions') }}
    where {{ is_new_load() }}

),

versions as (

    select
        versions.*,
        count(*) over positions_versions as version_count,
        max(versions.last_known_at) over positions_versions as last_checked_at,
        max(versions._load_seq) over positions_versions as newest_load_seq
    from {{ ref('int_position_versions') }} as versions
    semi join changed on versions.position_id = changed.position_id
    window positions_versions as (partition by versions.position_id)

),

latest as (

    select * from versions
    qualify row_number() over (partition by position_id order by updated_at desc, last_known_at desc, value_hash asc) = 1

)

select
    position_id,
    coin,
    {{ dex_of('coin') }} as dex,
    address,
    side,
    opened_at,
    closed_at,
    closed_at is null as is_open,
    updated_at,
    size,
    value_usd,
    entry_price,
    mark_price,
    mid_price,
    premium_fraction,
    liquidation_price,
    unrealized_pnl_usd,
    funding_usd,
    leverage,
    margin_mode,
    max_leverage,
    size_cohort_id,
    pnl_cohort_id,
    version_count,
    last_checked_at,
    updated_at as snapshot_at,
    'payload' as snapshot_at_basis,
    first_known_at as known_at,
    first_payload_id as payload_id,
    newest_load_seq as _load_seq
from latest
