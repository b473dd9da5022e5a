with payloads as (

    select * from {{ source('raw', 'segments_bias_export') }}

),

unwrapped as (

    select
        *,
        {{ grouped_blocks('document', 'segmentId') }} as cohort_blocks
    from payloads

),

blocks as (

    select
        unnest(cohort_blocks) as block,
        _payload_id,
        _fetched_at,
        _load_seq
    from unwrapped

),

tables as (

    select
        cast(block ->> '$.segmentId' as integer) as cohort_id,
        {{ places_of("from_json(block -> '$.columns', '[\"VARCHAR\"]')", bias_column_names()) }} as places,
        from_json(block -> '$.data', '[["VARCHAR"]]') as all_values,
        _payload_id,
        _fetched_at,
        _load_seq
    from blocks

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
    cohort_id,
    '24h' as recency,
    {{ bias_columns() }},
    _payload_id,
    _fetched_at,
    _load_seq
from aligned
