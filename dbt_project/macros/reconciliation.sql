{#- How far apart two readings may be to be compared at all: a state lasts 15 to 17 minutes. -#}
{% macro reconciliation_window_minutes() -%}
    20
{%- endmacro %}

{#- Which times a build has to look at, as literals, by which the rest is passed over unread: what changed, and a window round
    it. All of time on the first run. -#}
{% macro is_near_new_load(relation) -%}
    {%- if not (execute and is_incremental()) -%}
    {{ return('true') }}
    {%- endif -%}
    {%- set found = run_query(
        "select min(snapshot_at) - interval '" ~ reconciliation_window_minutes() ~ " minutes', "
        ~ "max(snapshot_at) + interval '" ~ reconciliation_window_minutes() ~ " minutes' "
        ~ "from " ~ relation ~ " where " ~ is_new_load()
    ).rows[0] -%}
    {%- if found[0] is none -%}
    {{ return('false') }}
    {%- endif -%}
    {{ return("snapshot_at between timestamp '" ~ found[0] ~ "' and timestamp '" ~ found[1] ~ "'") }}
{%- endmacro %}

{#- Whether two sources cut a coin into the same parts: both by size cohort, by PnL cohort, by bucket, by bin, by cohort. -#}
{% macro has_comparable_parts(left_source, right_source) -%}
    regexp_extract({{ left_source }}, '(size_cohort|pnl_cohort|bucket|bin|fraction)', 1)
    = regexp_extract({{ right_source }}, '(size_cohort|pnl_cohort|bucket|bin|fraction)', 1)
    and regexp_matches({{ left_source }}, 'cohort|bucket|bin|fraction')
{%- endmacro %}

{#- Positions and their value by part, as one source counts them: a row per scope, snapshot and part. -#}
{% macro counted(
    source, relation, where='true', scope='coin', part='0', count='sum(position_count)', value='sum(gross_value_usd)'
) -%}
select
        '{{ source }}' as source,
        {{ scope }} as scope,
        snapshot_at as snapshot_at,
        {{ part }} as part,
        cast({{ count }} as double) as position_count,
        {{ value }} as gross_value_usd,
        min(payload_id) as payload_id,
        max(known_at) as known_at,
        max(_load_seq) as _load_seq
    from {{ relation }}
    where {{ where }}
    group by all
{%- endmacro %}

{#- One figure of a source that stands in its rows as it is. -#}
{% macro measured(source, relation, measure, value, where='true', scope='coin') -%}
select
        '{{ source }}' as source,
        {{ scope }} as scope,
        snapshot_at,
        0 as part,
        payload_id,
        known_at,
        _load_seq,
        '{{ measure }}' as measure,
        {{ value }} as part_value
    from {{ relation }}
    where {{ where }}
{%- endmacro %}
