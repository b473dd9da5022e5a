{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=["cast(slot as date)"],
    )
}}

{%- set fetches, datasets, plans = source('ops', 'fetches'), source('ops', 'datasets'), source('ops', 'plans') %}

-- Also read by the macro: {{ source('ops', 'past_sources') }}, {{ source('ops', 'plan_paces') }}.
with known as (

    select
        max(finished_at) as until_at,
        max(fetch_seq) as fetch_seq
    from {{ fetches }}

),

coverage as (

    {% for first_day, last_day in coverage_ranges(fetches, datasets, plans) -%}
    select * from ops.slot_coverage(
        timestamp '{{ first_day }}',
        least(timestamp '{{ last_day }}' + interval 1 day, (select known.until_at + interval 1 microsecond from known))
    )
    {{ 'union all' if not loop.last }}
    {% else -%}
    select * from ops.slot_coverage(timestamp '1970-01-01 00:00:00', timestamp '1970-01-01 00:00:00')
    {% endfor %}
)

select
    coverage.dataset,
    coverage.scope,
    coverage.slot,
    coverage.verdict,
    coverage.reason,
    coverage.mend,
    coverage.has_arrived,
    coverage.is_planned,
    coverage.is_missing,
    coverage.attempts,
    coverage.requests_spent,
    coverage.recoverable_until,
    coverage.cost_to_fix,
    coverage.snapshot_at,
    coverage.snapshot_at_basis,
    coverage.known_at,
    coverage.payload_id,
    known.fetch_seq as _fetch_seq
from coverage
cross join known
