-- PV, UV, sessions, conversion, orders and revenue of a day: of everybody, and of the segments of the newest snapshot before it.
with days as (
    select distinct event_date from metric_days
),
events as (
    select * from cleaned.events semi join days using (event_date)
),
day_sessions as (
    select * from cleaned.sessions semi join days using (event_date)
),
snapshots as (
    select days.event_date, max(scored.as_of_date) as as_of_date
    from days join (select distinct as_of_date from profiles.scores where model = $segment_model) as scored
        on scored.as_of_date < days.event_date
    group by days.event_date
),
aliases as (
    select snapshots.event_date, identities.alias_id, scores.class as segment
    from snapshots
    join profiles.scores as scores on scores.as_of_date = snapshots.as_of_date and scores.model = $segment_model
    join cleaned.identities as identities on identities.profile_id = scores.profile_id
        and identities.valid_from <= snapshots.as_of_date
        and (identities.valid_to is null or identities.valid_to > snapshots.as_of_date)
),
told_events as (
    select events.*, 'all' as segment from events
    union all
    select events.*, aliases.segment from events
    join aliases on aliases.event_date = events.event_date and aliases.alias_id = events.alias_id
),
told_sessions as (
    select day_sessions.event_date, day_sessions.is_converted, 'all' as segment from day_sessions
    union all
    select day_sessions.event_date, day_sessions.is_converted, aliases.segment from day_sessions
    join aliases on aliases.event_date = day_sessions.event_date and aliases.alias_id = day_sessions.alias_id
),
of_events as (
    select
        event_date, segment,
        count(*) filter (where role = 'view') as pv,
        count(distinct stream_id) as uv,
        count(distinct case when role = 'purchase' then coalesce(
            'order ' || order_id, 'time ' || coalesce(alias_id, '') || cast(event_time as varchar)
        ) end) as n_orders,
        cast(coalesce(sum(amount) filter (where role = 'purchase'), 0) - coalesce(sum(amount) filter (where role = 'refund'), 0) as decimal(18, 2))
            as revenue_amount
    from told_events group by event_date, segment
),
of_sessions as (
    select event_date, segment, count(*) as n_sessions, count(*) filter (where is_converted) as n_converted
    from told_sessions group by event_date, segment
),
told as (
    select event_date, segment from of_events
    union
    select event_date, segment from of_sessions
    union
    select event_date, 'all' as segment from days
)
select
    told.event_date,
    told.segment,
    coalesce(of_events.pv, 0) as pv,
    coalesce(of_events.uv, 0) as uv,
    coalesce(of_sessions.n_sessions, 0) as n_sessions,
    coalesce(of_events.n_orders, 0) as n_orders,
    cast(of_sessions.n_converted as double) / nullif(of_sessions.n_sessions, 0) as conversion,
    coalesce(of_events.revenue_amount, 0) as revenue_amount
from told
left join of_events on of_events.event_date = told.event_date and of_events.segment = told.segment
left join of_sessions on of_sessions.event_date = told.event_date and of_sessions.segment = told.segment
