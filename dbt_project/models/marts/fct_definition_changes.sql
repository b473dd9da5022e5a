select
    changes.seen_at as snapshot_at,
    changes.dataset,
    changes.variant as scope,
    changes.name,
    changes.change,
    changes.before as definition_before,
    changes.after as definition_after,
    'slot' as snapshot_at_basis,
    changes.seen_at as known_at,
    changes.payload_id
from {{ source('ops', 'definition_changes') }} as changes
