-- A session of a stream; the strongest alias in it is the user's, else e-mail, phone, anonymous, device.
with events as (
    select
        *,
        case
            when alias_id like 'user:%' then '1'
            when alias_id like 'email:%' then '2'
            when alias_id like 'phone:%' then '3'
            when alias_id like 'anonymous:%' then '4'
            else '5'
        end || alias_id as ranked_alias
    from session_events
),
grouped as (
    select
        stream_id, chain_number, part_number,
        substring(min(ranked_alias), 2) as alias_id,
        min(event_date) as event_date,
        min(event_time) as started_at,
        max(event_time) as ended_at,
        count(*) as n_events,
        arg_min(page, event_number) filter (where page is not null) as entry_page,
        arg_max(page, event_number) filter (where page is not null) as exit_page,
        max(case when role = 'purchase' then 1 else 0 end) = 1 as is_converted,
        arg_min(event_id, event_number) as first_event_id
    from events
    group by stream_id, chain_number, part_number
)
select *, 's' || substring(sha256(stream_id || '|' || first_event_id), 1, 20) as session_id
from grouped
