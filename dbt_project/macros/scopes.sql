{#- A scope of several axes is their values joined by spaces, the coin last: coins may be named anything. -#}
{% macro scope_first(scope) -%}
    split_part({{ scope }}, ' ', 1)
{%- endmacro %}

{% macro scope_rest(scope) -%}
    substr({{ scope }}, strpos({{ scope }}, ' ') + 1)
{%- endmacro %}
