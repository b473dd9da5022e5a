with orders as (

    select * from {{ source('raw', 'order_snapshots') }}

),

renamed as (

    select
        coin,
        _scope <> '' and coin <> _scope as is_foreign,
        oid as order_id,
        nullif(address, '') as address,
        case side when 'B' then 'buy' when 'A' then 'sell' else side end as side,
        limitpx as limit_price,
        sz as size,
        origsz as original_size,
        timestamp as placed_at,
        nullif(ordertype, '') as order_type,
        istrigger as is_trigger,
        nullif(triggerpx, 0) as trigger_price,
        nullif(nullif(triggercondition, ''), 'N/A') as trigger_condition,
        ispositiontpsl as is_position_tpsl,
        reduceonly as is_reduce_only,
        untriggered as is_untriggered,
        nullif(tif, '') as time_in_force,
        nullif(cloid, '') as client_order_id,
        nullif(status, '') as status,
        nullif(builder, '') as builder,
        builderfee as builder_fee,
        cast(children as varchar) as children,
        height,
        _row_number,
        _payload_id,
        _fetched_at,
        snapshotts as snapshot_at,
        _load_seq
    from orders

)

select
    *,
    {{ value_hash([
        'address', 'side', 'limit_price', 'size', 'original_size', 'placed_at', 'order_type', 'is_trigger', 'trigger_price',
        'trigger_condition', 'is_position_tpsl', 'is_reduce_only', 'is_untriggered', 'time_in_force', 'client_order_id',
        'status', 'builder', 'builder_fee', 'children',
    ]) }} as value_hash
from renamed
