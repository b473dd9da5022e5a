with payloads as (

    select
        *,
        document -> '$.openPerpsSummary' as positions_part,
        document -> '$.summary' as brief_part
    from {{ source('raw', 'segment_summary') }}

)

select
    cast({{ scope_first('_scope') }} as integer) as cohort_id,
    {{ scope_rest('_scope') }} as position_age,
    cast(coalesce(brief_part ->> '$.countTraders', positions_part ->> '$.countTraders') as bigint) as trader_count,
    cast(brief_part ->> '$.countTraders24hAgo' as bigint) as trader_count_24h_ago,
    cast(
        coalesce(positions_part ->> '$.countTradersInPosition', brief_part ->> '$.countTradersInPosition') as bigint
    ) as traders_in_position_count,
    cast(positions_part ->> '$.countTradersInProfit' as bigint) as traders_in_profit_count,
    cast(positions_part ->> '$.countOpenPositions' as bigint) as position_count,
    cast(positions_part ->> '$.bySide.long.count' as bigint) as long_position_count,
    cast(positions_part ->> '$.bySide.short.count' as bigint) as short_position_count,
    cast(coalesce(positions_part ->> '$.totalValue', brief_part ->> '$.positionValue') as double) as gross_value_usd,
    cast(coalesce(positions_part ->> '$.totalLongValue', brief_part ->> '$.positionLongValue') as double) as long_value_usd,
    cast(brief_part ->> '$.positionShortValue' as double) as reported_short_value_usd,
    cast(coalesce(positions_part ->> '$.perpBias', brief_part ->> '$.perpBias') as double) as exposure_bias,
    cast(coalesce(positions_part ->> '$.exposureRatio', brief_part ->> '$.exposureRatio') as double) as exposure_ratio,
    cast(
        coalesce(positions_part ->> '$.totalActivePerpEquity', brief_part ->> '$.activePerpEquity') as double
    ) as active_perp_equity_usd,
    cast(coalesce(positions_part ->> '$.totalPerpEquity', brief_part ->> '$.perpEquity') as double) as perp_equity_usd,
    cast(positions_part ->> '$.countAssets' as bigint) as coin_count,
    _payload_id,
    _fetched_at,
    _snapshot_at as snapshot_at,
    _load_seq
from payloads
