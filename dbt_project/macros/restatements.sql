{#- Where a relation of versions holds a second value for the same key: the value before and the value after, in the order in which
    they were first heard. -#}
{% macro restatements_of(relation, dataset, scope, measures) -%}
    {%- set heard -%}
    (
        partition by {{ dataset }}, {{ scope }}, versions.snapshot_at order by versions.first_known_at, versions.value_hash
    )
    {%- endset -%}
    select
        {{ dataset }} as dataset,
        {{ scope }} as scope,
        versions.snapshot_at,
        versions.first_known_at as known_at,
        lag(versions.first_known_at) over {{ heard }} as old_known_at,
        to_json({{ '{' }}{% for measure in measures %}'{{ measure }}': lag(versions.{{ measure }}) over {{ heard }}{{ ', ' if not loop.last }}{% endfor %}{{ '}' }}) as old_values,
        to_json({{ '{' }}{% for measure in measures %}'{{ measure }}': versions.{{ measure }}{{ ', ' if not loop.last }}{% endfor %}{{ '}' }}) as new_values,
        lag(versions.first_payload_id) over {{ heard }} as old_payload_id,
        versions.first_payload_id as payload_id,
        max(versions._load_seq) over (partition by {{ dataset }}, {{ scope }}, versions.snapshot_at) as _load_seq
    from {{ relation }} as versions
    where
        versions.snapshot_at in (
            select recent.snapshot_at from {{ relation }} as recent where {{ is_new_load('recent._load_seq') }}
        )
    -- Values heard at one instant contradict each other; none restates another.
    qualify lag(versions.first_known_at) over {{ heard }} < versions.first_known_at
{%- endmacro %}
