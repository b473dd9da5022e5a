{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['coin', 'order_id', 'valid_from_at'],
        pre_hook="{{ forget_replayed_versions() }}",
    )
}}

with snapshots as (

    select * from {{ ref('int_order_snapshots') }}

),

replays as (

    select
        coin,
        min(snapshot_at) as replayed_from_at
    from snapshots
    where {{ is_new_load() }}
    group by coin

),

-- The snapshot before the replay is the state that the replay continues.
numbered as (

    select
        snapshots.*,
        row_number() over (partition by snapshots.coin order by snapshots.snapshot_at) as snapshot_number,
        lead(snapshots.snapshot_at) over (partition by snapshots.coin order by snapshots.snapshot_at) as next_snapshot_at,
        replays.replayed_from_at
    from snapshots
    inner join replays on snapshots.coin = replays.coin

),

replayed as (

    select * from numbered
    where snapshot_at >= replayed_from_at

),

before as (

    select * from numbered
    where snapshot_at < replayed_from_at
    qualify row_number() over (partition by coin order by snapshot_at desc) = 1

),

orders as (

    select * from {{ ref('stg_order_snapshots') }}
    where not is_foreign and _load_seq in (select replayed.load_seq from replayed)
    qualify row_number() over (partition by _load_seq, coin, order_id order by _row_number) = 1

),

observations as (

    select
        replayed.coin,
        orders.order_id,
        replayed.snapshot_number,
        replayed.snapshot_at as first_seen_at,
        replayed.next_snapshot_at,
        replayed.known_at,
        replayed.payload_id,
        orders.value_hash,
        orders.address,
        orders.side,
        orders.limit_price,
        orders.size,
        orders.original_size,
        orders.placed_at,
        orders.order_type,
        orders.is_trigger,
        orders.trigger_price,
        orders.trigger_condition,
        orders.is_position_tpsl,
        orders.is_reduce_only,
        orders.is_untriggered,
        orders.time_in_force,
        orders.client_order_id,
        orders.status,
        orders.builder,
        orders.builder_fee,
        orders.children,
        false as is_recorded,
        cast(null as timestamp) as recorded_to_at
    from replayed
    inner join orders on replayed.load_seq = orders._load_seq and replayed.coin = orders.coin
    {%- if is_incremental() %}

    union all

    select
        before.coin,
        versions.order_id,
        before.snapshot_number,
        versions.valid_from_at as first_seen_at,
        before.next_snapshot_at,
        versions.known_at,
        versions.payload_id,
        versions._value_hash as value_hash,
        versions.address,
        versions.side,
        versions.limit_price,
        versions.size,
        versions.original_size,
        versions.placed_at,
        versions.order_type,
        versions.is_trigger,
        versions.trigger_price,
        versions.trigger_condition,
        versions.is_position_tpsl,
        versions.is_reduce_only,
        versions.is_untriggered,
        versions.time_in_force,
        versions.client_order_id,
        versions.status,
        versions.builder,
        versions.builder_fee,
        versions.children,
        true as is_recorded,
        versions.valid_to_at as recorded_to_at
    from before
    inner join {{ this }} as versions
        on
            before.coin = versions.coin
            and before.snapshot_at >= versions.valid_from_at
            and (versions.valid_to_at is null or before.snapshot_at < versions.valid_to_at)
    {%- endif %}

),

compared as (

    select
        *,
        coalesce(
            lag(snapshot_number) over orders_in_time = snapshot_number - 1 and lag(value_hash) over orders_in_time = value_hash,
            false
        ) as is_carried_over
    from observations
    window orders_in_time as (partition by coin, order_id order by snapshot_number)

),

islands as (

    select
        *,
        sum(case when is_carried_over then 0 else 1 end) over (
            partition by coin, order_id
            order by snapshot_number
            rows unbounded preceding
        ) as version_number
    from compared

),

versions as (

    select
        coin,
        order_id,
        min(first_seen_at) as valid_from_at,
        arg_max(coalesce(next_snapshot_at, cast('infinity' as timestamp)), snapshot_number) as ended_at,
        arg_min(known_at, snapshot_number) as known_at,
        arg_min(payload_id, snapshot_number) as payload_id,
        any_value(address) as address,
        any_value(side) as side,
        any_value(limit_price) as limit_price,
        any_value(size) as size,
        any_value(original_size) as original_size,
        any_value(placed_at) as placed_at,
        any_value(order_type) as order_type,
        any_value(is_trigger) as is_trigger,
        any_value(trigger_price) as trigger_price,
        any_value(trigger_condition) as trigger_condition,
        any_value(is_position_tpsl) as is_position_tpsl,
        any_value(is_reduce_only) as is_reduce_only,
        any_value(is_untriggered) as is_untriggered,
        any_value(time_in_force) as time_in_force,
        any_value(client_order_id) as client_order_id,
        any_value(status) as status,
        any_value(builder) as builder,
        any_value(builder_fee) as builder_fee,
        any_value(children) as children,
        any_value(value_hash) as value_hash,
        bool_or(is_recorded) as is_recorded,
        any_value(recorded_to_at) as recorded_to_at
    from islands
    group by coin, order_id, version_number

)

select
    coin,
    order_id,
    valid_from_at,
    nullif(ended_at, cast('infinity' as timestamp)) as valid_to_at,
    address,
    side,
    limit_price,
    size,
    original_size,
    placed_at,
    order_type,
    is_trigger,
    trigger_price,
    trigger_condition,
    is_position_tpsl,
    is_reduce_only,
    is_untriggered,
    time_in_force,
    client_order_id,
    status,
    builder,
    builder_fee,
    children,
    valid_from_at as snapshot_at,
    known_at,
    payload_id,
    value_hash as _value_hash,
    (select max(snapshots._load_seq) from snapshots) as _load_seq
from versions
-- Most orders carry over from one snapshot to the next: their rows stand as they are.
where not is_recorded or nullif(ended_at, cast('infinity' as timestamp)) is distinct from recorded_to_at
