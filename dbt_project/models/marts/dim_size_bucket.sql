{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['size_bucket_id'],
    )
}}

with sent as (

    select
        size_bucket_id,
        label,
        lower_bound_usd,
        upper_bound_usd,
        snapshot_at as last_seen_at,
        _load_seq
    from {{ ref('stg_breakdown_by_size_export') }}
    where {{ is_new_load() }}
    {%- if is_incremental() %}

    union all

    select
        known.size_bucket_id,
        known.label,
        known.lower_bound_usd,
        known.upper_bound_usd,
        known.last_seen_at,
        known._load_seq
    from {{ this }} as known
    {%- endif %}

)

select
    size_bucket_id,
    arg_max(label, (last_seen_at, label)) as label,
    arg_max_null(lower_bound_usd, (last_seen_at, label)) as lower_bound_usd,
    arg_max_null(upper_bound_usd, (last_seen_at, label)) as upper_bound_usd,
    max(last_seen_at) as last_seen_at,
    max(_load_seq) as _load_seq
from sent
group by size_bucket_id
