with payloads as (

    select * from {{ source('raw', 'segment_bias_history') }}

),

tables as (

    select
        cast({{ scope_first('_scope') }} as integer) as cohort_id,
        {{ scope_rest('_scope') }} as recency,
        {{ places_of(
            "from_json(document -> '$.historySnapshotStructure', '[\"VARCHAR\"]')",
            bias_column_names()
        ) }} as places,
        0 as left_out_count,
        from_json(document -> '$.history', '[["VARCHAR"]]') as all_values,
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

)

select
    cohort_id,
    recency,
    {{ bias_columns() }},
    _payload_id,
    _fetched_at,
    _load_seq
from data_rows
