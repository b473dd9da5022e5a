with payloads as (

    select * from {{ source('raw', 'liquidation_heatmap_export') }}

),

bins as (

    select
        _scope as coin,
        unnest(from_json(document -> '$.heatmap', '["JSON"]')) as bin,
        _payload_id,
        _fetched_at,
        _snapshot_at,
        _snapshot_at_basis,
        _load_seq
    from payloads

)

select
    coin,
    cast(bin ->> '$.priceBinIndex' as integer) as bin_index,
    cast(bin ->> '$.priceBinStart' as double) as price_from,
    cast(bin ->> '$.priceBinEnd' as double) as price_to,
    cast(bin ->> '$.liquidationValue' as double) as liquidation_value_usd,
    cast(bin ->> '$.positionsCount' as bigint) as position_count,
    cast(bin ->> '$.mostImpactedSegment' as integer) as most_impacted_cohort_id,
    _payload_id,
    _fetched_at,
    _snapshot_at as snapshot_at,
    _snapshot_at_basis as snapshot_at_basis,
    _load_seq
from bins
