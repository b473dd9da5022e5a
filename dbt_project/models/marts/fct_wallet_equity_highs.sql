select
    first_known_at as snapshot_at,
    equity_part,
    high_usd,
    'slot' as snapshot_at_basis,
    first_known_at as known_at,
    first_payload_id as payload_id,
    _load_seq
from {{ ref('int_wallet_equity_high_versions') }}
