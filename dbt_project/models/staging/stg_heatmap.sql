with payloads as (

    select * from {{ source('raw', 'heatmap') }}

),

coins as (

    select
        unnest(from_json(document -> '$.heatmap', '[{"coin":"VARCHAR","segments":"JSON"}]'), recursive := true),
        _payload_id,
        _fetched_at,
        _snapshot_at,
        _snapshot_at_basis,
        _load_seq
    from payloads

),

cohorts as (

    select
        coin,
        unnest(
            from_json(
                segments,
                '[{"segmentId":"INTEGER","totalValue":"DOUBLE","totalLongValue":"DOUBLE","totalShortValue":"DOUBLE","count":"BIGINT","countLong":"BIGINT","countShort":"BIGINT","bias":"DOUBLE"}]'
            ),
            recursive := true
        ),
        _payload_id,
        _fetched_at,
        _snapshot_at,
        _snapshot_at_basis,
        _load_seq
    from coins

)

select
    coin,
    segmentid as cohort_id,
    count as position_count,
    countlong as long_position_count,
    countshort as short_position_count,
    totalvalue as gross_value_usd,
    totallongvalue as long_value_usd,
    totalshortvalue as short_value_usd,
    bias as reported_long_fraction,
    _payload_id,
    _fetched_at,
    _snapshot_at as snapshot_at,
    _snapshot_at_basis as snapshot_at_basis,
    _load_seq
from cohorts
