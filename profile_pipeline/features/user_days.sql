-- A day of an alias: how much of each role, what it spent, and its time in sessions.
with events as (
    select * from cleaned.events
),
session_days as (
    select * from cleaned.session_days
),
counted as (
    select
        event_date,
        alias_id,
        count(*) as n_events,
        count(*) filter (where role = 'view') as n_views,
        count(*) filter (where role = 'search') as n_searches,
        count(*) filter (where role = 'add_to_cart') as n_add_to_carts,
        count(*) filter (where role = 'remove_from_cart') as n_remove_from_carts,
        count(*) filter (where role = 'purchase') as n_purchases,
        count(*) filter (where role = 'refund') as n_refunds,
        count(*) filter (where role = 'rate') as n_ratings,
        count(*) filter (where role = 'play') as n_plays,
        count(*) filter (where role = 'read') as n_reads,
        count(*) filter (where role = 'share') as n_shares,
        count(*) filter (where role = 'follow') as n_follows,
        count(*) filter (where role = 'sign_in') as n_sign_ins,
        count(*) filter (where role = 'message') as n_messages,
        count(distinct case when role = 'purchase' then coalesce('order ' || order_id, 'time ' || cast(event_time as varchar)) end) as n_orders,
        cast(coalesce(sum(amount) filter (where role = 'purchase'), 0) as decimal(18, 2)) as purchase_amount,
        cast(coalesce(sum(amount) filter (where role = 'refund'), 0) as decimal(18, 2)) as refund_amount,
        cast(sum(quantity) filter (where role = 'purchase') as decimal(18, 4)) as quantity,
        count(*) filter (where extract(hour from event_time at time zone 'UTC' at time zone $timezone) < 6) as n_night_events,
        min(event_time) as first_event_at,
        max(event_time) as last_event_at
    from events
    where event_date between $first_day and $last_day and alias_id is not null
    group by event_date, alias_id
),
in_sessions as (
    select
        event_date,
        alias_id,
        cast(sum(n_sessions) as bigint) as n_sessions,
        cast(sum(session_seconds) as bigint) as session_seconds
    from session_days
    where event_date between $first_day and $last_day
    group by event_date, alias_id
)
select
    counted.*,
    coalesce(in_sessions.n_sessions, 0) as n_sessions,
    coalesce(in_sessions.session_seconds, 0) as session_seconds
from counted
left join in_sessions on in_sessions.event_date = counted.event_date and in_sessions.alias_id = counted.alias_id
