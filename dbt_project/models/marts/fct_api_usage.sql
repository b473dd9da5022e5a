select
    cast(finished_at as date) as day,
    dataset,
    cast(sum(requests_spent) as bigint) as requests_spent,
    max(requests_budget) as requests_budget,
    cast(sum(byte_count) as bigint) as bytes,
    count(*) as poll_count,
    count(*) filter (where verdict = 'unchanged') as unchanged_poll_count,
    count(*) filter (where verdict = 'unchanged' and requests_spent = 0) as unchanged_polls_saved,
    max(finished_at) as snapshot_at,
    'slot' as snapshot_at_basis,
    max(finished_at) as known_at
from {{ source('ops', 'fetches') }}
group by cast(finished_at as date), dataset
