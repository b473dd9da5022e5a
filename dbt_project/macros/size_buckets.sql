{#- The position-size bucket (1-10) of a value in USD, by the documented bounds: lower included, upper not. -#}
{% macro size_bucket_of(value_usd) -%}
    case
        {% for bound in [1000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000] -%}
        when {{ value_usd }} < {{ bound }} then {{ loop.index }}
        {% endfor -%}
        when {{ value_usd }} is not null then 10
    end
{%- endmacro %}
