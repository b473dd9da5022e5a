with payloads as (

    select * from {{ source('raw', 'segment_metrics_export') }}

),

segments as (

    select
        _scope as coin,
        unnest(from_json(document -> '$.data', '["JSON"]')) as segment,
        _payload_id,
        _fetched_at,
        _load_seq
    from payloads

),

tables as (

    select
        coin,
        cast(segment ->> '$.segment.id' as integer) as cohort_id,
        {{ places_of(
            "from_json(segment -> '$.metrics.columns', '[\"VARCHAR\"]')",
            ['timestamp', 'positionCount', 'positionCountLong', 'totalPositionValue', 'totalPositionValueLong', 'bias']
        ) }} as places,
        from_json(segment -> '$.metrics.data', '[["VARCHAR"]]') as all_values,
        _payload_id,
        _fetched_at,
        _load_seq
    from segments

),

data_rows as (

    select
        * exclude (all_values),
        unnest(all_values) as row_values
    from tables

),

aligned as (

    select
        *,
        {{ columns_left_out('places', 'row_values') }} as left_out_count
    from data_rows

)

select
    coin,
    cohort_id,
    {{ utc_time(value_of('timestamp')) }} as snapshot_at,
    cast({{ value_of('positionCount') }} as bigint) as position_count,
    cast({{ value_of('positionCountLong') }} as bigint) as long_position_count,
    cast({{ value_of('totalPositionValue') }} as double) as gross_value_usd,
    cast({{ value_of('totalPositionValueLong') }} as double) as long_value_usd,
    cast({{ value_of('bias') }} as double) as reported_long_fraction,
    _payload_id,
    _fetched_at,
    _load_seq
from aligned
