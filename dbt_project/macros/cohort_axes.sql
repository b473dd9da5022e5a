{#- The axis of a cohort, by the documented ids: the two must never be added together. Null for an id not documented. -#}
{% macro axis_of(cohort_id) -%}
    case
        when {{ cohort_id }} in (16, 1, 2, 3, 4, 5, 6, 7) then 'size'
        when {{ cohort_id }} between 8 and 15 then 'pnl'
    end
{%- endmacro %}
