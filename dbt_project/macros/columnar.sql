{#- Flattening of `columns`/`data` payloads, by column name.

    `columns` may start with `coin` while every row has exactly one value less: then it is left out. -#}
{% macro aligned_columns(columns, row) -%}
    case
        when len({{ columns }}) = len({{ row }}) + 1 and {{ columns }}[1] = 'coin' then {{ columns }}[2:]
        else {{ columns }}
    end
{%- endmacro %}

{#- Where named columns stand among `columns`, found once a payload: carrying the names along with every row costs more than the
    rows. Null for one that is not there. Not in the same select as an unnest, which would have it found again for every row. -#}
{% macro places_of(columns, names) -%}
    struct_pack(
        column_count := len({{ columns }}),
        begins_with_coin := coalesce({{ columns }}[1] = 'coin', false)
        {%- for name in names %},
        "{{ name }}" := nullif(list_position({{ columns }}, '{{ name }}'), 0)
        {%- endfor %}
    )
{%- endmacro %}

{#- How many of the leading `columns` a row leaves out: `coin`, where every row has exactly one value less. Any other mismatch never
    gets here: the payload is quarantined before it is loaded. -#}
{% macro columns_left_out(places, row) -%}
    cast({{ places }}['begins_with_coin'] and {{ places }}['column_count'] = len({{ row }}) + 1 as integer)
{%- endmacro %}

{#- The value of one named column in a row, as text; null where the payload has no such column. -#}
{% macro value_of(name) -%}
    row_values[places['{{ name }}'] - left_out_count]
{%- endmacro %}

{#- The records of a table in either documented form, a list of objects or `columns` and `data`, as a list of JSON objects. -#}
{% macro table_records(document) -%}
    case
        when json_type({{ document }}) = 'ARRAY' then from_json({{ document }}, '["JSON"]')
        else list_transform(
            from_json({{ document }} -> '$.data', '[["VARCHAR"]]'),
            lambda row_values: to_json(map({{ aligned_columns("from_json(" ~ document ~ " -> '$.columns', '[\"VARCHAR\"]')", 'row_values') }}, row_values))
        )
    end
{%- endmacro %}

{#- Blocks that each name their group, in a wrapper nobody documented: a bare list, the only list of an object, or an object that
    holds a block under each group's id; then the id is put into the block. -#}
{% macro grouped_blocks(document, group) -%}
    case
        when json_type({{ document }}) = 'ARRAY' then from_json({{ document }}, '["JSON"]')
        when list_bool_and(list_transform(json_keys({{ document }}), lambda name: regexp_full_match(name, '\d+')))
            then list_transform(
                json_keys({{ document }}),
                lambda name: json_merge_patch(json_extract({{ document }}, '$."' || name || '"'), json_object('{{ group }}', name))
            )
        else json_extract({{ document }}, '$.*[*]')
    end
{%- endmacro %}
