with payloads as (

    select * from {{ source('raw', 'positions_export') }}

)

select
    payloads._scope as coin,
    -- The place of an element within its list does not matter: `$.positions[3].range` is `$.positions[].range`.
    regexp_replace(leaf.fullkey, '\[\d+\]', '[]', 'g') as key_path,
    lower(leaf.type) as json_type,
    leaf.value as json_value,
    payloads._payload_id,
    payloads._fetched_at,
    payloads._snapshot_at as snapshot_at,
    payloads._snapshot_at_basis as snapshot_at_basis,
    payloads._load_seq
from payloads, json_tree(payloads.document) as leaf
where leaf.type not in ('OBJECT', 'ARRAY')
