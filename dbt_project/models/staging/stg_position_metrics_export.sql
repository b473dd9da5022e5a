with payloads as (

    select * from {{ source('raw', 'position_metrics_export') }}

),

tables as (

    select
        _scope as coin,
        {{ places_of(
            "from_json(document -> '$.metrics.columns', '[\"VARCHAR\"]')",
            ['timestamp', 'positionCount', 'positionCountLong', 'totalPositionValue', 'totalPositionValueLong']
        ) }} as places,
        from_json(document -> '$.metrics.data', '[["VARCHAR"]]') as all_values,
        _payload_id,
        _fetched_at,
        _load_seq
    from payloads

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

),

named as (

    select
        coin,
        {{ utc_time(value_of('timestamp')) }} as snapshot_at,
        cast({{ value_of('positionCount') }} as bigint) as position_count,
        cast({{ value_of('positionCountLong') }} as bigint) as long_position_count,
        cast({{ value_of('totalPositionValue') }} as double) as gross_value_usd,
        cast({{ value_of('totalPositionValueLong') }} as double) as long_value_usd,
        _payload_id,
        _fetched_at,
        _load_seq
    from aligned

),

stepped as (

    select
        *,
        epoch(lag(snapshot_at) over (partition by _load_seq order by snapshot_at desc) - snapshot_at) as step_s
    from named

),

-- The grid is the spacing that most rows have, two hours or one; head and tail lie off it and move with every download.
grids as (

    select
        _load_seq,
        if(count(*) filter (where step_s = 3600) > count(*) filter (where step_s = 7200), 3600000, 7200000) as step_ms
    from stepped
    group by _load_seq

)

select
    stepped.coin,
    stepped.snapshot_at,
    stepped.position_count,
    stepped.long_position_count,
    stepped.position_count - stepped.long_position_count as short_position_count,
    stepped.gross_value_usd,
    stepped.long_value_usd,
    stepped.gross_value_usd - stepped.long_value_usd as short_value_usd,
    epoch_ms(stepped.snapshot_at) % grids.step_ms = 0 as is_on_grid,
    stepped._payload_id,
    stepped._fetched_at,
    stepped._load_seq
from stepped
inner join grids on stepped._load_seq = grids._load_seq
