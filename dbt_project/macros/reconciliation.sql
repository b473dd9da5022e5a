{#- How far apart two readings may be to be compared at all: a state lasts 15 to 17 minutes. -#}
{% macro reconciliation_window_minutes() -%}
    20
{%- endmacro %}

{#- Whether two sources cut a coin into the same parts: both by size cohort, by PnL cohort, by bucket, by bin, by cohort. -#}
{% macro has_comparable_parts(left_source, right_source) -%}
    regexp_extract({{ left_source }}, '(size_cohort|pnl_cohort|bucket|bin|fraction)', 1)
    = regexp_extract({{ right_source }}, '(size_cohort|pnl_cohort|bucket|bin|fraction)', 1)
    and regexp_matches({{ left_source }}, 'cohort|bucket|bin|fraction')
{%- endmacro %}
