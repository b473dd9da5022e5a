{#- Flattening of `columns`/`data` payloads, by column name.

    `columns` may start with `coin` while every row has exactly one value less: then it is left out. Any other mismatch never
    gets here: the payload is quarantined before it is loaded. -#}
{% macro aligned_columns(columns, row) -%}
    case
        when len({{ columns }}) = len({{ row }}) + 1 and {{ columns }}[1] = 'coin' then {{ columns }}[2:]
        else {{ columns }}
    end
{%- endmacro %}

{#- The value of one named column in a row, as text; null where the payload has no such column. -#}
{% macro value_of(name) -%}
    row_values[list_position(column_names, '{{ name }}')]
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
