{#- ISO 8601 text as a UTC timestamp: a plain cast leaves the offset out. -#}
{% macro utc_time(text) -%}
    timezone('UTC', cast({{ text }} as timestamptz))
{%- endmacro %}
