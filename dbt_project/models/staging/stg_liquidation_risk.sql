with payloads as (

    select * from {{ source('raw', 'liquidation_risk') }}

),

items as (

    select
        cast(_scope as integer) as cohort_id,
        _part,
        unnest(from_json(document -> '$.items', '["JSON"]')) as item,
        _payload_id,
        _fetched_at,
        _snapshot_at,
        _load_seq
    from payloads

)

select
    cohort_id,
    item ->> '$.coin' as coin,
    cast(item ->> '$.totalValue' as double) as open_value_usd,
    cast(item ->> '$.riskValue' as double) as at_risk_value_usd,
    cast(item ->> '$.percentRisk' as double) as reported_risk_pct,
    _payload_id,
    _fetched_at,
    _snapshot_at as snapshot_at,
    _load_seq
from items
-- Pages shift while they are read, so that a coin may come twice: the earlier page counts.
qualify row_number() over (partition by _load_seq, item ->> '$.coin' order by _part) = 1
