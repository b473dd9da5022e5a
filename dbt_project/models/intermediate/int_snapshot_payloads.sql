with payloads as (

    select * from {{ source('ops', 'payloads') }}
    where snapshot_at is not null

),

-- The same bytes may have come more than once: they were known when they came first.
contents as (

    select
        dataset,
        scope,
        snapshot_at,
        sha256,
        any_value(snapshot_at_basis) as snapshot_at_basis,
        min(fetched_at) as known_at,
        max(fetched_at) as last_known_at,
        arg_min(payload_id, (fetched_at, payload_id)) as payload_id,
        arg_max(payload_id, (fetched_at, payload_id)) as last_payload_id,
        arg_min(load_seq, (fetched_at, payload_id)) as load_seq,
        max(load_seq) as newest_load_seq
    from payloads
    group by dataset, scope, snapshot_at, sha256

)

select
    dataset,
    scope,
    snapshot_at,
    snapshot_at_basis,
    payload_id,
    last_payload_id,
    known_at,
    load_seq,
    max(newest_load_seq) over (partition by dataset, scope, snapshot_at) as newest_load_seq
from contents
qualify row_number() over (partition by dataset, scope, snapshot_at order by last_known_at desc, sha256 desc) = 1
