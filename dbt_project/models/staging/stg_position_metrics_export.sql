with payloads as (

    select * from {{ source('raw', 'position_metrics_export') }}

),

data_rows as (

    select
        _scope as coin,
        from_json(document -> '$.metrics.columns', '["VARCHAR"]') as declared_columns,
        unnest(from_json(document -> '$.metrics.data', '[["VARCHAR"]]')) as row_values,
        _payload_id,
        _fetched_at,
        _load_seq
    from payloads

),

aligned as (

    select
        *,
        {{ aligned_columns('declared_columns', 'row_values') }} as column_names
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

)

select
    coin,
    snapshot_at,
    position_count,
    long_position_count,
    position_count - long_position_count as short_position_count,
    gross_value_usd,
    long_value_usd,
    gross_value_usd - long_value_usd as short_value_usd,
    -- The grid is the spacing that most rows have, two hours or one; head and tail lie off it and move with every download.
    epoch_ms(snapshot_at) % case
        when
            count(*) filter (where step_s = 3600) over (partition by _load_seq)
            > count(*) filter (where step_s = 7200) over (partition by _load_seq)
            then 3600000
        else 7200000
    end = 0 as is_on_grid,
    _payload_id,
    _fetched_at,
    _load_seq
from stepped
