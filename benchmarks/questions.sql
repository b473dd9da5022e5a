-- The ten questions analysts ask, answered from the published marts alone. $coin, $now are given.

-- question: latest cohort table for a coin
select cohorts.axis, cohorts.cohort_name, metrics.position_count, metrics.long_value_usd, metrics.short_value_usd, metrics.long_fraction
from marts.fct_cohort_metrics as metrics
inner join marts.dim_cohort as cohorts on metrics.cohort_id = cohorts.cohort_id and cohorts.valid_to_at is null
where
    metrics.dataset = 'heatmap' and metrics.coin = $coin
    and metrics.snapshot_at = (
        select max(snapshot_at) from marts.fct_cohort_metrics
        where dataset = 'heatmap' and coin = $coin and snapshot_at > $now::timestamp - interval 1 day
    )
order by cohorts.axis, cohorts.sort_order;

-- question: a week of open interest
select snapshot_at, long_value_usd as open_interest_usd
from marts.fct_coin_metrics
where dataset = 'coin_metrics' and coin = $coin and snapshot_at > $now::timestamp - interval 7 day
order by snapshot_at;

-- question: size-bucket shares over a quarter
with days as materialized (
    select snapshot_at::date as day, size_bucket_id, avg(gross_value_usd) as gross_value_usd
    from marts.fct_size_bucket_metrics
    where
        dataset = 'breakdown_by_size_export' and coin = $coin and snapshot_at > $now::timestamp - interval 90 day
    group by all
)

select day, size_bucket_id, gross_value_usd / sum(gross_value_usd) over (partition by day) as share_fraction
from days
order by day, size_bucket_id;

-- question: liquidation value within 5 % of price, now and a week ago
with moments as (
    select max(snapshot_at) as snapshot_at from marts.fct_liquidation_heatmap
    where coin = $coin and snapshot_at > $now::timestamp - interval 1 day
    union all
    select max(snapshot_at) from marts.fct_liquidation_heatmap
    where coin = $coin and snapshot_at between $now::timestamp - interval 8 day and $now::timestamp - interval 7 day
),

price as (
    select arg_max(mid_price, snapshot_at) as mid_price from marts.fct_order_liquidity
    where coin = $coin and snapshot_at > $now::timestamp - interval 1 day
)

select bins.snapshot_at, sum(bins.liquidation_value_usd) as liquidation_value_usd
from marts.fct_liquidation_heatmap as bins
cross join price
where
    bins.coin = $coin and bins.snapshot_at > $now::timestamp - interval 8 day
    and bins.snapshot_at in (select moments.snapshot_at from moments)
    and bins.price_from >= price.mid_price * 0.95 and bins.price_to <= price.mid_price * 1.05
group by bins.snapshot_at
order by bins.snapshot_at;

-- question: who flipped side today
with now as (
    select * from marts.fct_open_positions
    where
        coin = $coin and snapshot_at = (
            select max(snapshot_at) from marts.fct_open_positions where coin = $coin and snapshot_at >= $now::timestamp - interval 1 hour
        )
),

before as (
    select * from marts.fct_open_positions
    where
        coin = $coin and snapshot_at = (
            select min(snapshot_at) from marts.fct_open_positions
            where coin = $coin and snapshot_at between $now::timestamp - interval 1 day and $now::timestamp - interval 22 hour
        )
)

select now.address, before.side as side_before, now.side as side_now, before.value_usd as value_before_usd, now.value_usd
from now
inner join before on now.address = before.address and now.side <> before.side
order by now.value_usd desc
limit 50;

-- question: largest new positions since yesterday by smart money
select coin, address, side, value_usd, opened_at
from marts.fct_open_positions
where
    snapshot_at = (select max(snapshot_at) from marts.fct_open_positions where snapshot_at >= $now::timestamp - interval 1 hour)
    and opened_at >= $now::timestamp - interval 1 day and pnl_cohort_id in (8, 9)
order by value_usd desc
limit 50;

-- question: resting liquidity around price
select side, price_band_from_pct, price_band_to_pct, sum(order_count) as order_count, sum(resting_value_usd) as resting_value_usd
from marts.fct_order_liquidity
where
    coin = $coin and price_band_from_pct >= -5 and price_band_to_pct <= 5
    and snapshot_at = (
        select max(snapshot_at) from marts.fct_order_liquidity
        where coin = $coin and snapshot_at > $now::timestamp - interval 1 day
    )
group by all
order by price_band_from_pct;

-- question: coverage of last month
select dataset, verdict, count(*) as slot_count
from marts.fct_slot_coverage
where slot >= $now::timestamp - interval 30 day
group by all
order by dataset, verdict;

-- question: funding by cohort
select cohorts.cohort_name, sum(positions.funding_usd) as funding_usd, count(*) as position_count
from marts.fct_open_positions as positions
inner join marts.dim_cohort as cohorts on positions.pnl_cohort_id = cohorts.cohort_id and cohorts.valid_to_at is null
where
    positions.snapshot_at = (
        select max(snapshot_at) from marts.fct_open_positions where snapshot_at >= $now::timestamp - interval 1 hour
    )
group by all
order by funding_usd;

-- question: coins where whales and retail disagree most
select
    coin,
    sum(long_value_usd) filter (where cohort_id in (5, 6, 7)) / sum(gross_value_usd) filter (where cohort_id in (5, 6, 7))
    - sum(long_value_usd) filter (where cohort_id in (1, 16)) / sum(gross_value_usd) filter (where cohort_id in (1, 16)) as difference
from marts.fct_cohort_metrics
where
    dataset = 'heatmap' and axis = 'size'
    and snapshot_at = (
        select max(snapshot_at) from marts.fct_cohort_metrics where dataset = 'heatmap' and snapshot_at > $now::timestamp - interval 1 day
    )
group by coin
order by abs(difference) desc nulls last
limit 20;
