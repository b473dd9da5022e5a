-- What a cohort had, what came and what went, is what it has: in positions exactly, in value to a millionth.
select
    snapshot_at,
    coin,
    cohort_id,
    axis
from {{ ref('fct_cohort_flows') }}
where
    previous_position_count + opened_position_count + joined_position_count - closed_position_count - left_position_count
    <> position_count
    or abs(
        previous_gross_value_usd + trading_value_usd + migration_value_usd + revalued_value_usd - gross_value_usd
    ) > 1e-6 * greatest(1, abs(gross_value_usd), abs(previous_gross_value_usd))
