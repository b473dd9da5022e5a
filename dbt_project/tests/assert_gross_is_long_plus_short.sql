-- Gross values count both sides; a dataset that sends all three must agree with itself to a millionth.
select
    snapshot_at,
    coin,
    dataset,
    gross_value_usd,
    long_value_usd,
    short_value_usd
from {{ ref('fct_coin_metrics') }}
where abs(gross_value_usd - long_value_usd - short_value_usd) > 1e-6 * greatest(1, abs(gross_value_usd))
