with datasets as (

    select * from ops.datasets

),

validities as (

    select
        plan,
        valid_from_at,
        lead(valid_from_at, 1, timestamp '9999-12-31 00:00:00') over (order by valid_from_at) as valid_to_at,
        row_number() over (order by valid_from_at) = 1 as is_first
    from ops.plans

),

wishes as (

    select
        validities.plan,
        validities.valid_from_at,
        validities.is_first,
        paces.dataset,
        paces.interval_s,
        prefixes.prefix || units.unit as scope
    from validities
    inner join ops.plan_paces as paces on validities.valid_from_at = paces.valid_from_at
    inner join datasets on paces.dataset = datasets.dataset
    cross join unnest(datasets.scope_prefixes) as prefixes (prefix)
    cross join unnest(paces.units) as units (unit)
    where validities.valid_to_at > since and (validities.valid_from_at < until or validities.is_first)

),

-- Slots that are over, in steps of each dataset, while each plan is valid.
slots as (

    select
        validities.valid_from_at,
        datasets.dataset,
        unnest(generate_series(
            time_bucket(
                to_seconds(datasets.step_s),
                greatest(since, validities.valid_from_at) + to_seconds(datasets.step_s) - interval 1 microsecond,
                timestamp '1970-01-01 00:00:00'
            ),
            least(until - to_seconds(datasets.step_s), validities.valid_to_at - interval 1 microsecond),
            to_seconds(datasets.step_s)
        )) as slot
    from validities
    cross join datasets
    where validities.valid_to_at > since and validities.valid_from_at < until

),

-- Slots after the last one asked for matter too: an answer of a series reaches back to those before it.
fetches as (

    select
        fetches.*,
        datasets.is_scoped and fetches.scope = '' as is_whole,
        (fetches.verdict in ('loaded', 'unchanged', 'empty') or (datasets.is_optional and fetches.verdict = 'absent'))
        and not (fetches.verdict = 'empty' and coalesce(fetches.slot < datasets.floor_at, false)) as has_arrived,
        -- Of several fetches of a slot an arrival counts, the fullest first; else the last.
        case fetches.verdict when 'loaded' then 3 when 'unchanged' then 2 when 'empty' then 1 else 0 end as rank
    from ops.fetches as fetches
    inner join datasets on fetches.dataset = datasets.dataset
    where
        fetches.slot >= since
        and (fetches.slot < until or fetches.slot < until + to_seconds(datasets.reach_s))

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
        any_value(is_whole) as is_whole,
        count(*) as attempts,
        cast(sum(requests_spent) as bigint) as requests_spent,
        max(finished_at) as finished_at
    from fetches
    group by dataset, scope, slot

),

own as (

    select * from ended
    where not is_whole and slot < until

),

-- A file of the whole exchange fills its slot for every scope.
whole as (

    select * from ended
    where is_whole and slot < until and has_arrived

),

grid as (

    select
        wishes.dataset,
        wishes.scope,
        slots.slot,
        wishes.plan,
        wishes.interval_s,
        coalesce(epoch_us(slots.slot) // 1000000 % wishes.interval_s = 0, false) as is_planned
    from wishes
    inner join slots on wishes.valid_from_at = slots.valid_from_at and wishes.dataset = slots.dataset
    union all
    -- What was brought of the time before any plan is of the scopes that the first one wished for.
    select
        wishes.dataset,
        wishes.scope,
        whole.slot,
        null as plan,
        null as interval_s,
        false as is_planned
    from wishes
    inner join whole on wishes.dataset = whole.dataset and wishes.is_first and wishes.valid_from_at > whole.slot

),

asked as (

    select
        coalesce(grid.dataset, own.dataset) as dataset,
        coalesce(grid.scope, own.scope) as scope,
        coalesce(grid.slot, own.slot) as slot,
        grid.plan,
        grid.interval_s,
        coalesce(grid.is_planned, false) as is_planned,
        own.verdict,
        own.reason,
        own.mend,
        own.payload_id,
        own.newest_at,
        own.finished_at,
        coalesce(own.has_arrived, false) as has_arrived,
        coalesce(own.attempts, 0) as attempts,
        coalesce(own.requests_spent, 0) as requests_spent
    from grid
    full join own on grid.dataset = own.dataset and grid.scope = own.scope and grid.slot = own.slot

),

lacking as (

    select
        asked.dataset,
        asked.scope,
        asked.slot,
        asked.verdict,
        datasets.step_s,
        datasets.reach_s,
        datasets.window_s,
        datasets.floor_at,
        datasets.requests_a_poll
    from asked
    inner join datasets on asked.dataset = datasets.dataset
    left join whole on asked.dataset = whole.dataset and asked.slot = whole.slot
    where not asked.has_arrived and whole.dataset is null

),

answers as (

    select * from ended
    where verdict in ('loaded', 'unchanged')

),

-- The first answer after a slot of a series; it covers what lies between that slot and the one before.
covered as (

    select
        lacking.dataset,
        lacking.scope,
        lacking.slot,
        answers.slot as answer_slot,
        answers.payload_id,
        answers.newest_at,
        answers.finished_at
    from lacking
    asof inner join answers
        on lacking.dataset = answers.dataset and lacking.scope = answers.scope and lacking.slot < answers.slot
    where answers.slot - to_seconds(lacking.reach_s) <= lacking.slot - to_seconds(lacking.step_s)

),

healing as (

    select
        slots_lacking.dataset,
        slots_lacking.slot,
        max(
            case
                when slots_lacking.window_s is not null
                    then slots_lacking.slot - to_seconds(slots_lacking.step_s) + to_seconds(slots_lacking.window_s)
                when slots_lacking.reach_s is not null or past_sources.reach_s is null then timestamp '9999-12-31 00:00:00'
                else slots_lacking.slot + to_seconds(past_sources.reach_s)
            end
        ) as recoverable_until,
        min(
            case
                when slots_lacking.reach_s is not null then slots_lacking.requests_a_poll
                else past_sources.requests_a_poll
            end
        ) as cost_to_fix
    from (select distinct * exclude (scope, verdict) from lacking) as slots_lacking
    left join ops.past_sources as past_sources
        on
            slots_lacking.dataset = past_sources.dataset
            and slots_lacking.slot >= coalesce(past_sources.floor_at, timestamp '1970-01-01 00:00:00')
            and slots_lacking.slot < coalesce(past_sources.ceiling_at, timestamp '9999-12-31 00:00:00')
    where
        past_sources.dataset is not null
        or slots_lacking.window_s is not null
        or (slots_lacking.reach_s is not null and slots_lacking.slot >= coalesce(slots_lacking.floor_at, slots_lacking.slot))
    group by slots_lacking.dataset, slots_lacking.slot

),

judged as (

    select
        asked.dataset,
        asked.scope,
        asked.slot,
        case
            when asked.has_arrived then asked.verdict
            when whole.dataset is not null then whole.verdict
            when covered.dataset is not null then 'loaded'
            when asked.slot < datasets.floor_at and (asked.is_planned or asked.verdict is not null) then 'beyond_floor'
            when asked.verdict is not null then asked.verdict
            when asked.is_planned then 'missed'
            else 'not_planned'
        end as verdict,
        asked.plan,
        asked.interval_s,
        asked.is_planned,
        asked.verdict as own_verdict,
        asked.reason as own_reason,
        coalesce(asked.mend, '') as own_mend,
        asked.has_arrived or whole.dataset is not null or covered.dataset is not null as has_arrived,
        asked.attempts,
        asked.requests_spent,
        datasets.floor_at,
        covered.answer_slot,
        case
            when asked.has_arrived or asked.verdict = 'absent' then null
            when whole.dataset is not null or covered.dataset is not null then null
            else healing.recoverable_until
        end as recoverable_until,
        case
            when asked.has_arrived or asked.verdict = 'absent' then null
            when whole.dataset is not null or covered.dataset is not null then null
            else healing.cost_to_fix
        end as cost_to_fix,
        case
            when asked.has_arrived then asked.newest_at
            else coalesce(whole.newest_at, covered.newest_at, asked.newest_at)
        end as snapshot_at,
        case
            when asked.has_arrived then asked.finished_at
            else coalesce(whole.finished_at, covered.finished_at, asked.finished_at)
        end as known_at,
        case
            when asked.has_arrived then asked.payload_id
            else coalesce(whole.payload_id, covered.payload_id, asked.payload_id)
        end as payload_id
    from asked
    inner join datasets on asked.dataset = datasets.dataset
    left join whole on asked.dataset = whole.dataset and asked.slot = whole.slot
    left join covered
        on asked.dataset = covered.dataset and asked.scope = covered.scope and asked.slot = covered.slot
    left join healing on asked.dataset = healing.dataset and asked.slot = healing.slot

)

select
    dataset,
    scope,
    slot,
    verdict,
    case
        when answer_slot is not null then 'covered by the answer of ' || strftime(answer_slot, '%Y-%m-%d %H:%M')
        when has_arrived then ''
        when verdict = 'beyond_floor' then 'the provider has nothing before ' || strftime(floor_at, '%Y-%m-%d %H:%M')
        when own_verdict is not null then own_reason
        when is_planned then 'nothing asked for it: the schedules were not running'
        when interval_s is null then 'plan ' || plan || ' does not afford it'
        else
            'plan ' || plan || ' polls it every '
            || case
                when interval_s = 86400 then '1 day'
                when interval_s % 86400 = 0 then interval_s // 86400 || ' days'
                when interval_s % 3600 = 0 then interval_s // 3600 || ' h'
                else interval_s // 60 || ' min'
            end
    end as reason,
    case
        when has_arrived then ''
        when verdict = 'beyond_floor' then 'nothing heals it'
        when verdict = 'not_planned' then 'a larger HTW_PLAN, fewer HTW_COINS or HTW_DATASETS; see `htw plan`'
        when verdict = 'quarantined' then own_mend
        when recoverable_until is not null and verdict = 'failed' and own_mend <> '' then own_mend || '; then `htw heal`'
        when recoverable_until is not null then '`htw heal`'
        when own_verdict is not null then own_mend
        else 'keep `make up` running'
    end as mend,
    has_arrived,
    is_planned,
    not has_arrived and (is_planned or own_verdict is not null) as is_missing,
    attempts,
    requests_spent,
    recoverable_until,
    cost_to_fix,
    snapshot_at,
    'payload' as snapshot_at_basis,
    known_at,
    payload_id
from judged
