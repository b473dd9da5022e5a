{{ config(materialized='view') }}

with coins as (

    select * from {{ ref('fct_coin_metrics') }}
    where dataset = 'coins'

)

select
    coins.snapshot_at,
    coins.coin,
    coins.long_value_usd as open_interest_usd,
    coins.position_count,
    coins.long_position_count,
    coins.short_position_count,
    coins.known_at
from coins
