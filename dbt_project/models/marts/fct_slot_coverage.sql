with datasets as (

    select * from {{ source('ops', 'datasets') }}

),

past_sources as (

    select * from {{ source('ops', 'past_sources') }}

),

fetches as (

    select
        fetches.*,
        fetches.verdict in ('loaded', 'unchanged', 'empty')
        or (datasets.is_optional and fetches.verdict = 'absent') as has_arrived,
        -- Of several fetches of a slot an arrival counts, the fullest first; else the last.
        case fetches.verdict when 'loaded' then 3 when 'unchanged' then 2 when 'empty' then 1 else 0 end as rank
    from {{ source('ops', 'fetches') }} as fetches
    inner join datasets on fetches.dataset = datasets.dataset

),

now_known as (

    select max(finished_at) as known_until_at
    from fetches

),

-- A scope is due from its first slot on; one that the newest sweep of its dataset left out is not wanted any more.
scopes as (

    select
        fetches.dataset,
        fetches.scope,
        min(fetches.slot) as first_slot,
        max(fetches.slot) as last_slot,
        max(max(fetches.slot)) over (partition by fetches.dataset) as datasets_last_slot
    from fetches
    inner join datasets on fetches.dataset = datasets.dataset
    where fetches.scope <> '' or not datasets.is_scoped
    group by fetches.dataset, fetches.scope

),

grid as (

    select
        scopes.dataset,
        scopes.scope,
        unnest(generate_series(
            scopes.first_slot,
            case when scopes.last_slot = scopes.datasets_last_slot then now_known.known_until_at else scopes.last_slot end,
            to_seconds(datasets.step_s)
        )) as slot
    from scopes
    inner join datasets on scopes.dataset = datasets.dataset
    cross join now_known

),

ended as (

    select
        dataset,
        scope,
        slot,
        arg_max(verdict, (rank, finished_at, fetch_id)) as verdict,
        arg_max(reason, (rank, finished_at, fetch_id)) as reason,
        arg_max(mend, (rank, finished_at, fetch_id)) as mend,
        arg_max(payload_id, (rank, finished_at, fetch_id)) as payload_id,
        arg_max(newest_at, (rank, finished_at, fetch_id)) as newest_at,
        bool_or(has_arrived) as has_arrived,
        count(*) as attempts,
        cast(sum(requests_spent) as bigint) as requests_spent,
        max(finished_at) as finished_at
    from fetches
    group by dataset, scope, slot

),

-- A file of the whole exchange fills its slot for every scope.
held as (

    select
        grid.dataset,
        grid.scope,
        grid.slot,
        coalesce(own.has_arrived, false) or whole.has_arrived is null as is_own,
        own.verdict as own_verdict,
        own.reason as own_reason,
        own.mend as own_mend,
        own.payload_id as own_payload_id,
        own.newest_at as own_newest_at,
        own.finished_at as own_finished_at,
        coalesce(own.attempts, 0) as attempts,
        coalesce(own.requests_spent, 0) as requests_spent,
        whole.verdict as whole_verdict,
        whole.payload_id as whole_payload_id,
        whole.newest_at as whole_newest_at,
        whole.finished_at as whole_finished_at,
        coalesce(own.has_arrived, false) or coalesce(whole.has_arrived, false) as has_arrived
    from grid
    left join ended as own
        on grid.dataset = own.dataset and grid.scope = own.scope and grid.slot = own.slot
    left join ended as whole
        on grid.dataset = whole.dataset and grid.scope <> '' and whole.scope = '' and grid.slot = whole.slot and whole.has_arrived

),

reachable as (

    select
        held.dataset,
        held.scope,
        held.slot,
        max(
            case
                when datasets.lookback_s is not null then held.slot + to_seconds(datasets.lookback_s)
                when past_sources.reach_s is not null then held.slot + to_seconds(past_sources.reach_s)
                when past_sources.dataset is not null then timestamp '9999-12-31 00:00:00'
            end
        ) as recoverable_until
    from held
    inner join datasets on held.dataset = datasets.dataset
    left join past_sources
        on
            held.dataset = past_sources.dataset
            and held.slot >= coalesce(past_sources.floor_at, timestamp '1970-01-01 00:00:00')
            and held.slot < coalesce(past_sources.ceiling_at, timestamp '9999-12-31 00:00:00')
    where not held.has_arrived and coalesce(held.own_verdict, 'missed') <> 'absent'
    group by held.dataset, held.scope, held.slot

)

select
    held.dataset,
    held.scope,
    held.slot,
    case when held.is_own then coalesce(held.own_verdict, 'missed') else held.whole_verdict end as verdict,
    case
        when held.has_arrived then ''
        when held.own_verdict is null then 'nothing asked for it: the schedules were not running'
        else held.own_reason
    end as reason,
    case when held.has_arrived then '' else coalesce(held.own_mend, 'keep `make up` running') end as mend,
    held.has_arrived,
    held.attempts,
    held.requests_spent,
    reachable.recoverable_until,
    case when held.is_own then held.own_newest_at else held.whole_newest_at end as snapshot_at,
    'payload' as snapshot_at_basis,
    case when held.is_own then held.own_finished_at else held.whole_finished_at end as known_at,
    case when held.is_own then held.own_payload_id else held.whole_payload_id end as payload_id
from held
left join reachable
    on held.dataset = reachable.dataset and held.scope = reachable.scope and held.slot = reachable.slot
