with payloads as (

    select * from {{ source('raw', 'state_status') }}

)

select
    cast(document ->> '$.lastUpdate' as timestamp) as state_at,
    cast(document ->> '$.nextUpdate' as timestamp) as next_state_at,
    _payload_id,
    _fetched_at,
    _load_seq
from payloads
