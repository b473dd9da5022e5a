{#- Schemas are named as the models say, without the target's name before them: `marts` is part of the contract with readers. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
