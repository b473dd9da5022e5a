{#- Days whose slots may have changed since the last run, as a query of day ranges (`first_day`, `last_day`): days of slots fetched,
    of slots of a series that a new answer reaches back to, of slots that are over since, and those since a plan is valid. The
    answer before already covers what lies before it, so that a new one matters only up to there. -#}
{% macro touched_day_ranges(fetches, datasets, plans) -%}
    with last_run as (
        select coalesce(max(_fetch_seq), 0) as fetch_seq from {{ this }}
    ),

    known as (
        select
            max(finished_at) filter (where fetch_seq <= (select last_run.fetch_seq from last_run)) as before_at,
            max(finished_at) as until_at
        from {{ fetches }}
    ),

    new_fetches as (
        select * from {{ fetches }}
        where fetch_seq > (select last_run.fetch_seq from last_run)
    ),

    new_answers as (
        select distinct
            new_fetches.dataset,
            new_fetches.scope,
            new_fetches.slot,
            datasets.step_s,
            greatest(new_fetches.slot - to_seconds(datasets.reach_s), (select min(slot) from {{ fetches }})) as reaches_to
        from new_fetches
        inner join {{ datasets }} as datasets on new_fetches.dataset = datasets.dataset
        where datasets.reach_s is not null and new_fetches.verdict in ('loaded', 'unchanged')
    ),

    answers as (
        select distinct
            dataset,
            scope,
            slot
        from {{ fetches }}
        where
            verdict in ('loaded', 'unchanged')
            and slot >= (select min(new_answers.reaches_to) from new_answers)
            and dataset in (select new_answers.dataset from new_answers)
    ),

    touched as (
        select
            slot as first_slot,
            slot as last_slot
        from new_fetches
        union all
        select
            coalesce(greatest(answers.slot, new_answers.reaches_to), new_answers.reaches_to) as first_slot,
            new_answers.slot as last_slot
        from new_answers
        asof left join answers
            on new_answers.dataset = answers.dataset and new_answers.scope = answers.scope and new_answers.slot > answers.slot
        union all
        select
            time_bucket(to_seconds(steps.step_s), known.before_at - to_seconds(steps.step_s), timestamp '1970-01-01 00:00:00')
            + to_seconds(steps.step_s) as first_slot,
            known.until_at - to_seconds(steps.step_s) as last_slot
        from known
        cross join (select distinct step_s from {{ datasets }}) as steps
        union all
        -- A plan is valid from the five minutes in which it is made, which may lie a little before the last run.
        select
            plans.valid_from_at as first_slot,
            known.until_at as last_slot
        from {{ plans }} as plans
        inner join known on plans.valid_from_at > known.before_at - interval 1 hour
    ),

    days as (
        select distinct unnest(generate_series(
            date_trunc('day', first_slot), date_trunc('day', last_slot), interval 1 day
        )) as day
        from touched
        where first_slot <= last_slot
    )

    select
        min(day) as first_day,
        max(day) as last_day
    from (select day, day - to_days(cast(row_number() over (order by day) as integer)) as island from days)
    group by island
    order by first_day
{%- endmacro %}

{#- The ranges as a list of pairs; on the first run all of time, while only parsing nothing. -#}
{% macro coverage_ranges(fetches, datasets, plans) -%}
    {%- if not execute -%}
    {{ return([]) }}
    {%- elif not is_incremental() -%}
    {{ return([('1970-01-01 00:00:00', '9999-12-30 00:00:00')]) }}
    {%- endif -%}
    {%- set ranges = [] -%}
    {%- for row in run_query(touched_day_ranges(fetches, datasets, plans)).rows -%}
        {%- do ranges.append((row[0] | string, row[1] | string)) -%}
    {%- endfor -%}
    {{ return(ranges) }}
{%- endmacro %}
