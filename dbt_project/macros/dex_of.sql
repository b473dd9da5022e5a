{#- The dex before a coin's colon; coins without one are listed on the main dex. -#}
{% macro dex_of(coin) -%}
    case when contains({{ coin }}, ':') then split_part({{ coin }}, ':', 1) else 'main' end
{%- endmacro %}
