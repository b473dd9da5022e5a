with payloads as (

    select * from {{ source('raw', 'latest_order_snapshot') }}

)

select
    {{ utc_time("document ->> '$'") }} as order_snapshot_at,
    _slot,
    _payload_id,
    _fetched_at,
    _load_seq
from payloads
