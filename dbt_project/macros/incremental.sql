{#- Models advance on the load sequence, never on snapshot time: late and backfilled slots then arrive in any order. -#}
{% macro is_new_load(column='_load_seq') -%}
    {%- if is_incremental() -%}
    {{ column }} > (select coalesce(max(this_model._load_seq), 0) from {{ this }} as this_model)
    {%- else -%}
    true
    {%- endif -%}
{%- endmacro %}

{#- The adapter's own statement joins the table with every new row, so that replacing n rows of one key costs n times n. -#}
{% macro duckdb__get_delete_insert_merge_sql(target, source, unique_key, dest_columns, incremental_predicates) -%}
    {%- set keys = ([unique_key] if unique_key is string else unique_key) | join(', ') -%}
    {%- set columns = get_quoted_csv(dest_columns | map(attribute='name')) -%}
    delete from {{ target }}
    where ({{ keys }}) in (select distinct {{ keys }} from {{ source }});

    insert into {{ target }} ({{ columns }})
    select {{ columns }}
    from {{ source }}
{%- endmacro %}

{#- A digest that tells two versions of a row's values apart, the same on every machine. -#}
{% macro value_hash(columns) -%}
    md5(concat_ws('|'{% for column in columns %}, coalesce(cast({{ column }} as varchar), '-'){% endfor %}))
{%- endmacro %}

{#- One row per key and distinct values: when they were first and last known, and by which payload. Commutative: any order and
    repetition of payloads gives the same rows. `observations` names a CTE with keys, values and the origin columns. -#}
{% macro versions_of(observations, keys, values) -%}
    hashed as (
        select
            *,
            {{ value_hash(values) }} as value_hash
        from {{ observations }}
    ),

    seen as (
        select
            {% for key in keys %}{{ key }}, {% endfor %}
            value_hash,
            {% for value in values %}any_value({{ value }}) as {{ value }}, {% endfor %}
            min(_fetched_at) as first_known_at,
            max(_fetched_at) as last_known_at,
            arg_min(_payload_id, (_fetched_at, _payload_id)) as first_payload_id,
            arg_max(_payload_id, (_fetched_at, _payload_id)) as last_payload_id,
            max(_load_seq) as _load_seq
        from hashed
        group by {% for key in keys %}{{ key }}, {% endfor %} value_hash
    ),

    merged as (
        select
            {% for key in keys %}seen.{{ key }}, {% endfor %}
            seen.value_hash,
            {% for value in values %}seen.{{ value }}, {% endfor %}
            {% if is_incremental() -%}
            least(seen.first_known_at, known.first_known_at) as first_known_at,
            greatest(seen.last_known_at, known.last_known_at) as last_known_at,
            -- Structs compare null as the greatest, so that a version not known before must be told apart by hand.
            case
                when
                    known.value_hash is not null
                    and (known.first_known_at, known.first_payload_id) < (seen.first_known_at, seen.first_payload_id)
                    then known.first_payload_id
                else seen.first_payload_id
            end as first_payload_id,
            case
                when
                    known.value_hash is not null
                    and (known.last_known_at, known.last_payload_id) > (seen.last_known_at, seen.last_payload_id)
                    then known.last_payload_id
                else seen.last_payload_id
            end as last_payload_id,
            {% else -%}
            seen.first_known_at,
            seen.last_known_at,
            seen.first_payload_id,
            seen.last_payload_id,
            {% endif -%}
            seen._load_seq
        from seen
        {% if is_incremental() -%}
        left join {{ this }} as known
            on {% for key in keys %}seen.{{ key }} = known.{{ key }} and {% endfor %} seen.value_hash = known.value_hash
        {%- endif %}
    )
{%- endmacro %}

{#- The version of each row to show: the one known last; of payloads that are one snapshot, only rows of the winning payload.
    `units` are replaced as a whole, so that a row that a restated snapshot no longer has goes away: a unit must be no smaller
    than a payload's snapshot, and is never empty, as a payload without rows is not loaded. -#}
{% macro latest_versions(relation, units, keys, single_snapshot_datasets) -%}
    changed as (
        select distinct {{ units | join(', ') }}
        from {{ relation }}
        where {{ is_new_load() }}
    ),

    candidates as (
        select versions.*
        from {{ relation }} as versions
        semi join changed
            on {% for unit in units %}versions.{{ unit }} = changed.{{ unit }}{{ ' and ' if not loop.last }}{% endfor %}
    ),

    latest as (
        select candidates.*
        from candidates
        {% if single_snapshot_datasets -%}
        where
            candidates.dataset not in ('{{ single_snapshot_datasets | join("', '") }}')
            or candidates.last_payload_id in (
                select winners.last_payload_id
                from {{ ref('int_snapshot_payloads') }} as winners
                where
                    winners.dataset in ('{{ single_snapshot_datasets | join("', '") }}')
                    and winners.snapshot_at in (select changed.snapshot_at from changed)
            )
        {%- endif %}
        qualify row_number() over (
            partition by {% for key in keys %}candidates.{{ key }}{{ ', ' if not loop.last }}{% endfor %}
            order by candidates.last_known_at desc, candidates.value_hash
        ) = 1
    )
{%- endmacro %}
