with fetches as (

    select
        *,
        verdict = 'unchanged' and requests_spent = 0 and coalesce(byte_count, 0) = 0 as is_spared
    from {{ source('ops', 'fetches') }}

)

select
    cast(finished_at as date) as day,
    dataset,
    cast(sum(requests_spent) as bigint) as requests_spent,
    max(requests_budget) as requests_budget,
    cast(sum(byte_count) as bigint) as bytes,
    count(*) filter (where not is_spared) as poll_count,
    count(*) filter (where verdict = 'unchanged' and not is_spared) as unchanged_poll_count,
    count(*) filter (where is_spared) as unchanged_polls_saved,
    max(finished_at) as snapshot_at,
    'slot' as snapshot_at_basis,
    max(finished_at) as known_at
from fetches
group by cast(finished_at as date), dataset
