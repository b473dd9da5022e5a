{#- Rules broken by the latest loads; a warning, because the provider may be the one that is wrong. -#}
{% test no_broken_rules(model) %}
select
    rule,
    scope,
    snapshot_at,
    left_value,
    right_value,
    left_payload_id,
    right_payload_id
from {{ model }}
where
    verdict = 'differs'
    and _load_seq > (select max(newest._load_seq) from {{ model }} as newest) - {{ var('key_test_load_count') }}
{% endtest %}
