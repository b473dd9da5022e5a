with payloads as (

    select * from {{ source('ops', 'payloads') }}
    where snapshot_at is not null

),

ranked as (

    select
        *,
        row_number() over snapshots as preference,
        max(load_seq) over snapshots as newest_load_seq
    from payloads
    window snapshots as (
        partition by dataset, scope, snapshot_at
        order by fetched_at desc, payload_id desc
        rows between unbounded preceding and unbounded following
    )

),

first_known as (

    select
        dataset,
        scope,
        snapshot_at,
        sha256,
        min(fetched_at) as known_at
    from payloads
    group by dataset, scope, snapshot_at, sha256

)

select
    ranked.dataset,
    ranked.scope,
    ranked.snapshot_at,
    ranked.snapshot_at_basis,
    ranked.payload_id,
    first_known.known_at,
    ranked.load_seq,
    ranked.newest_load_seq
from ranked
inner join first_known
    on
        ranked.dataset = first_known.dataset
        and ranked.scope = first_known.scope
        and ranked.snapshot_at = first_known.snapshot_at
        and ranked.sha256 = first_known.sha256
where ranked.preference = 1
