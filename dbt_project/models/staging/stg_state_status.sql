with payloads as (

    select * from {{ source('raw', 'state_status') }}

)

select
    {{ utc_time("document ->> '$.lastUpdate'") }} as state_at,
    {{ utc_time("document ->> '$.nextUpdate'") }} as next_state_at,
    _payload_id,
    _fetched_at,
    _load_seq
from payloads
