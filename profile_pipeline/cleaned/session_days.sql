-- What an alias did in one of `fresh_sessions` on a day: a session counts for the alias of its first event, a gap for the alias of
-- the earlier of its two events, each gap rounded down to whole seconds; the gap across midnight counts for nobody.
with events as (
    select * from session_events where event_date between $first_day and $last_day
),
gaps as (
    select
        *,
        case
            when next_event_date = event_date
            then cast(floor(cast(date_diff('microsecond', event_time, next_event_time) as double) / 1000000) as bigint)
            else 0
        end as gap_seconds
    from events
),
grouped as (
    select
        event_date, stream_id, chain_number, part_number, alias_id,
        cast(sum(case when is_start then 1 else 0 end) as bigint) as n_sessions,
        cast(sum(gap_seconds) as bigint) as session_seconds
    from gaps
    group by event_date, stream_id, chain_number, part_number, alias_id
)
select
    grouped.event_date, grouped.stream_id, fresh_sessions.session_id, grouped.alias_id, grouped.n_sessions, grouped.session_seconds
from grouped
join fresh_sessions
    on fresh_sessions.stream_id = grouped.stream_id
    and fresh_sessions.chain_number = grouped.chain_number
    and fresh_sessions.part_number = grouped.part_number
