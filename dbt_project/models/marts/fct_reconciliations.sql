{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['rule', 'scope', 'snapshot_at'],
    )
}}

{#- Name, what stands on the left and on the right, how far apart in time they may be to be of the same state (seconds), and how
    far apart in value, relative, when they are. A source beside itself is held against its reading before. -#}
{%- set rules = [
    ('cohorts_by_size_equal_coins', 'heatmap_by_size_cohort', 'coins', 0, 1e-6),
    ('cohorts_by_pnl_equal_coins', 'heatmap_by_pnl_cohort', 'coins', 0, 1e-6),
    ('coin_metrics_equal_coins', 'coin_metrics', 'coins', 2, 1e-6),
    ('open_positions_equal_coins', 'positions_by_bucket', 'coins', 0, 1e-6),
    ('breakdown_by_size_equals_breakdown_by_size_cohort', 'breakdown_by_bucket', 'breakdown_by_size_cohort', 0, 1e-6),
    ('breakdown_by_size_equals_breakdown_by_pnl_cohort', 'breakdown_by_bucket', 'breakdown_by_pnl_cohort', 0, 1e-6),
    ('breakdown_by_size_equals_position_metrics', 'breakdown_by_bucket', 'position_metrics_head', 0, 1e-6),
    ('segment_metrics_by_size_equal_position_metrics', 'segment_metrics_by_size_cohort', 'position_metrics_head', 0, 1e-6),
    ('segment_metrics_by_pnl_equal_position_metrics', 'segment_metrics_by_pnl_cohort', 'position_metrics_head', 0, 1e-6),
    ('position_metrics_equal_coins', 'position_metrics_head', 'coins', 0, 1e-6),
    ('open_positions_by_bucket_equal_breakdown', 'positions_by_bucket', 'breakdown_by_bucket', 0, 1e-6),
    ('open_positions_by_size_cohort_equal_heatmap', 'positions_by_size_cohort', 'heatmap_by_size_cohort', 0, 1e-6),
    ('open_positions_by_pnl_cohort_equal_heatmap', 'positions_by_pnl_cohort', 'heatmap_by_pnl_cohort', 0, 1e-6),
    ('open_positions_by_size_cohort_equal_breakdown', 'positions_by_size_cohort', 'breakdown_by_size_cohort', 0, 1e-6),
    ('open_positions_by_pnl_cohort_equal_breakdown', 'positions_by_pnl_cohort', 'breakdown_by_pnl_cohort', 0, 1e-6),
    ('liquidation_bins_equal_open_positions', 'liquidation_bins', 'positions_by_bin', 0, 1e-6),
    ('market_equals_sum_of_coins', 'market', 'coins_sum', 890, 1e-6),
    ('market_long_equals_short', 'market_long', 'market_short', 0, 1e-6),
    ('coin_long_equals_short', 'coins_long', 'coins_short', 0, 1e-6),
    ('heatmap_fraction_equals_segment_metrics_fraction', 'heatmap_fractions', 'segment_metrics_fractions', 0, 0.001),
    ('order_ids_are_unique', 'order_rows', 'order_ids', 0, 0),
    ('order_snapshot_is_on_its_mark', 'order_times', 'order_marks', 0, 0),
    ('order_snapshot_is_announced', 'newest_order_snapshot', 'announced_order_snapshot', 0, 0),
    ('order_count_is_near_the_one_before', 'order_ids', 'order_ids', 1200, 0.5),
] %}

with rules as (

    {% for rule, left_source, right_source, same_state_s, tolerance in rules -%}
    select
        '{{ rule }}' as rule,
        '{{ left_source }}' as left_source,
        '{{ right_source }}' as right_source,
        {{ same_state_s }} as same_state_s,
        {{ 1 if left_source == right_source else 0 }} as lag_s,
        cast({{ tolerance }} as double) as relative_tolerance
    {%- if not loop.last %}
    union all
    {% endif -%}
    {%- endfor %}

),

measures as (

    select * from {{ ref('int_reconciliation_measures') }}
    where {{ is_near_new_load(ref('int_reconciliation_measures')) }}

),

changed as (

    select distinct
        snapshot_at,
        scope,
        measure
    from measures
    where {{ is_new_load() }}

),

-- What changed, and what may look back at it.
touched as (

    select measures.*
    from measures
    semi join changed
        on
            measures.scope = changed.scope
            and measures.measure = changed.measure
            and measures.snapshot_at >= changed.snapshot_at
            and measures.snapshot_at <= changed.snapshot_at + interval '{{ reconciliation_window_minutes() }} minutes'

),

lefts as (

    select
        rules.*,
        touched.*,
        touched.snapshot_at - to_seconds(rules.lag_s) as compared_until_at
    from rules
    inner join touched on rules.left_source = touched.source

),

pairs as (

    select
        lefts.rule || ':' || lefts.measure as rule,
        lefts.scope,
        lefts.snapshot_at,
        rights.snapshot_at as right_snapshot_at,
        lefts.measure,
        lefts.left_source,
        lefts.right_source,
        lefts.relative_tolerance,
        coalesce(slacks.total_value, 0) as slack,
        lefts.parts as left_parts,
        rights.parts as right_parts,
        lefts.total_value as left_value,
        rights.total_value as right_value,
        epoch(lefts.snapshot_at) - epoch(rights.snapshot_at) <= lefts.same_state_s as is_same_state,
        lefts.payload_id as left_payload_id,
        rights.payload_id as right_payload_id,
        greatest(lefts.known_at, rights.known_at) as known_at,
        greatest(lefts._load_seq, rights._load_seq) as _load_seq
    from lefts
    asof inner join measures as rights
        on
            lefts.right_source = rights.source
            and lefts.scope = rights.scope
            and lefts.measure = rights.measure
            and lefts.compared_until_at >= rights.snapshot_at
    -- What cannot be said to be on either side of an edge may differ, by twice itself: missing here, and too much there.
    left join measures as slacks
        on
            lefts.left_source = 'liquidation_bins'
            and slacks.source = 'positions_at_edges'
            and lefts.scope = slacks.scope
            and lefts.measure = slacks.measure
            and lefts.snapshot_at = slacks.snapshot_at
    where rights.snapshot_at >= lefts.snapshot_at - interval '{{ reconciliation_window_minutes() }} minutes'

),

compared as (

    select
        *,
        -- Sources cut the market differently: parts are compared where both have the same.
        {{ has_comparable_parts('left_source', 'right_source') }} as is_by_part,
        list_distinct(list_concat(map_keys(left_parts), map_keys(right_parts))) as part_ids
    from pairs

),

differing as (

    select
        *,
        case
            when is_by_part and measure = 'long_fraction'
                then list_aggregate(list_transform(
                    list_intersect(map_keys(left_parts), map_keys(right_parts)),
                    lambda part: abs(left_parts[part] - right_parts[part])
                ), 'max')
            when is_by_part
                then list_aggregate(list_transform(
                    part_ids, lambda part: abs(coalesce(left_parts[part], 0) - coalesce(right_parts[part], 0))
                ), 'sum')
            else abs(left_value - right_value)
        end as difference
    from compared

),

judged as (

    select
        *,
        case
            when not is_same_state and measure = 'position_count' then 10 + 0.25 * greatest(left_value, right_value)
            when not is_same_state and measure <> 'long_fraction' then greatest(left_value, right_value)
            when not is_same_state then 1
            when measure = 'position_count' then 2 * slack
            when measure = 'long_fraction' then relative_tolerance
            else relative_tolerance * greatest(1, abs(left_value), abs(right_value)) + 2 * slack
        end as tolerance
    from differing

)

select
    snapshot_at,
    rule,
    scope,
    left_value,
    right_value,
    difference,
    tolerance,
    case when difference <= tolerance then 'agrees' else 'differs' end as verdict,
    is_same_state,
    left_source,
    right_source,
    right_snapshot_at,
    'payload' as snapshot_at_basis,
    known_at,
    left_payload_id,
    right_payload_id,
    left_payload_id as payload_id,
    _load_seq
from judged
