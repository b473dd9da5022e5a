{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['coin'],
    )
}}

with listed as (

    select
        coin,
        min(snapshot_at) as first_seen_at,
        max(snapshot_at) as last_seen_at,
        max(_load_seq) as _load_seq
    from {{ ref('stg_coins') }}
    where {{ is_new_load() }}
    group by coin

)

select
    listed.coin,
    {{ dex_of('listed.coin') }} as dex,
    case when contains(listed.coin, ':') then split_part(listed.coin, ':', 2) else listed.coin end as symbol,
    {% if is_incremental() -%}
    least(listed.first_seen_at, known.first_seen_at) as first_seen_at,
    greatest(listed.last_seen_at, known.last_seen_at) as last_seen_at,
    {% else -%}
    listed.first_seen_at,
    listed.last_seen_at,
    {% endif -%}
    listed._load_seq
from listed
{% if is_incremental() -%}
left join {{ this }} as known on listed.coin = known.coin
{%- endif %}
