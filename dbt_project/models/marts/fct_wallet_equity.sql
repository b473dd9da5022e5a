with {{ latest_versions(ref('int_wallet_equity_versions'), ['snapshot_at'], ['snapshot_at'], []) }},

measured as (

    select
        *,
        coalesce(perp_equity_usd, 0) + coalesce(spot_equity_usd, 0) + coalesce(staking_equity_usd, 0)
        + coalesce(vault_equity_usd, 0) as parts_equity_usd,
        lag(staking_equity_usd) over (order by snapshot_at) as staking_before_usd,
        lead(staking_equity_usd) over (order by snapshot_at) as staking_after_usd
    from latest

),

judged as (

    select
        *,
        case
            when vault_equity_usd = 0 then 'vault equity is 0, which is neither unknown nor true'
            when staking_equity_usd < 0.2 * least(staking_before_usd, staking_after_usd)
                then 'staking equity is less than a fifth of both its neighbours'
            when abs(total_equity_usd - parts_equity_usd) > 1e-6 * greatest(1, abs(total_equity_usd))
                then 'the total is not the sum of its parts'
        end as suspect_reason
    from measured

)

select
    snapshot_at,
    total_equity_usd,
    perp_equity_usd,
    spot_equity_usd,
    staking_equity_usd,
    vault_equity_usd,
    suspect_reason is not null as is_suspect,
    suspect_reason,
    'payload' as snapshot_at_basis,
    first_known_at as known_at,
    first_payload_id as payload_id,
    _load_seq
from judged
