with payloads as (

    select * from {{ source('raw', 'wallets_equity_export') }}
    where (document -> '$.athData') is not null

),

highs as (

    select
        unnest(from_json(document -> '$.athData.columns', '["VARCHAR"]')) as source_column,
        unnest(from_json(document -> '$.athData.data', '["DOUBLE"]')) as high_usd,
        _payload_id,
        _fetched_at,
        _load_seq
    from payloads

)

select
    replace(source_column, 'WalletsEquity', '') as equity_part,
    high_usd,
    _payload_id,
    _fetched_at,
    _load_seq
from highs
where high_usd is not null
