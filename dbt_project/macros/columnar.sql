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
