with readings as (

    select
        *,
        cast(snapshot_at as date) as day,
        count(*) over (partition by cast(snapshot_at as date)) as reading_count
    from {{ ref('fct_perp_volume') }}

)

select
    day,
    snapshot_at,
    rolling_24h_volume_usd,
    reading_count,
    -- The last nominal reading of a day is at 23:58.
    cast(snapshot_at as time) >= time '23:00:00' as is_whole_day,
    snapshot_at_basis,
    known_at,
    payload_id,
    _load_seq
from readings
qualify row_number() over (partition by day order by snapshot_at desc) = 1
