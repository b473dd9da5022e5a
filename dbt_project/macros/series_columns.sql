{#- The columns that the time series of a coin share (contract 21 to 23), out of one JSON record. -#}
{% macro coin_series_columns(record) -%}
    {{ utc_time(record ~ " ->> '$.createdAt'") }} as snapshot_at,
    cast({{ record }} ->> '$.positionCount' as bigint) as position_count,
    cast({{ record }} ->> '$.positionCountLong' as bigint) as long_position_count,
    cast({{ record }} ->> '$.positionCount' as bigint) - cast({{ record }} ->> '$.positionCountLong' as bigint) as short_position_count,
    cast({{ record }} ->> '$.totalPositionValue' as double) as gross_value_usd,
    cast({{ record }} ->> '$.totalPositionValueLong' as double) as long_value_usd,
    cast({{ record }} ->> '$.totalPositionValue' as double)
    - cast({{ record }} ->> '$.totalPositionValueLong' as double) as short_value_usd,
    cast({{ record }} ->> '$.totalPositionSize' as double) as gross_size,
    cast({{ record }} ->> '$.totalPositionSizeLong' as double) as long_size,
    cast({{ record }} ->> '$.totalFunding' as double) as funding_usd,
    cast({{ record }} ->> '$.totalUnrealizedPnl' as double) as unrealized_pnl_usd
{%- endmacro %}

{% macro bias_column_names() -%}
    {{- return(['timestamp', 'bias', 'exposureRatio', 'openValue', 'openLongValue', 'openShortValue', 'activePerpEquity']) -}}
{%- endmacro %}

{#- The columns of a cohort's exposure over time (contract 27; 2 where its columns are the same), by name. -#}
{% macro bias_columns() -%}
    {{ utc_time(value_of('timestamp')) }} as snapshot_at,
    cast({{ value_of('bias') }} as double) as reported_bias,
    cast({{ value_of('exposureRatio') }} as double) as exposure_ratio,
    cast({{ value_of('openValue') }} as double) as open_value_usd,
    cast({{ value_of('openLongValue') }} as double) as long_value_usd,
    cast({{ value_of('openShortValue') }} as double) as short_value_usd,
    cast({{ value_of('activePerpEquity') }} as double) as perp_equity_usd
{%- endmacro %}
