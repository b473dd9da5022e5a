with segments as (

    select * from {{ ref('stg_segments') }}
    qualify row_number() over (partition by cohort_id, _snapshot_at order by _fetched_at desc, _payload_id desc) = 1

),

hashed as (

    select
        *,
        {{ value_hash(['cohort_name', 'axis', 'lower_bound_usd', 'upper_bound_usd']) }} as definition_hash
    from segments

),

compared as (

    select
        *,
        lag(definition_hash) over (partition by cohort_id order by _snapshot_at) as definition_before
    from hashed

),

versions as (

    select
        *,
        row_number() over (partition by cohort_id order by _snapshot_at) as version,
        lead(_snapshot_at) over (partition by cohort_id order by _snapshot_at) as valid_to_at
    from compared
    where definition_before is null or definition_before <> definition_hash

)

select
    cohort_id,
    version,
    cohort_name,
    axis,
    lower_bound_usd,
    upper_bound_usd,
    row_number() over (partition by axis, valid_to_at is null order by lower_bound_usd nulls first, version) as sort_order,
    _snapshot_at as valid_from_at,
    valid_to_at,
    _fetched_at as known_at,
    _payload_id as payload_id,
    _load_seq
from versions
