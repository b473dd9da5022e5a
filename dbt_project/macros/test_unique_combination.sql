{#- No two rows share these columns. Where time is part of the key, only times that the latest loads touched are looked at, so that
    a tick costs the same in the thousandth week; `--vars '{key_test_load_count: 1000000000}'` looks at all of history. -#}
{% test unique_combination(model, columns) %}
{%- set time_columns = ['snapshot_at', 'valid_from_at'] | select('in', columns) | list %}
select {{ columns | join(', ') }}
from {{ model }}
{% if time_columns -%}
where {{ time_columns[0] }} in (
    select touched.{{ time_columns[0] }}
    from {{ model }} as touched
    where touched._load_seq > (select max(newest._load_seq) from {{ model }} as newest) - {{ var('key_test_load_count') }}
)
{%- endif %}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}
