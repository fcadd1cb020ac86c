-- The events of `session_input`, chained: a chain ends at a gap of more than 30 minutes. The two sorts are most of what sessions
-- cost: whatever else needs the order of a stream reads `event_number`.
with followed as (
    select
        stream_id, event_date, event_time, event_id, alias_id, page, role,
        lag(event_time) over ordered as previous_event_time,
        lead(event_time) over ordered as following_event_time,
        lead(event_date) over ordered as following_event_date,
        row_number() over ordered as event_number
    from session_input
    window ordered as (partition by stream_id order by event_time, event_id)
),
gaps as (
    select
        stream_id, event_date, event_time, event_id, alias_id, page, role, event_number,
        case when event_time <= previous_event_time + interval 30 minute then 0 else 1 end as is_chain_start,
        case when following_event_time <= event_time + interval 30 minute then following_event_time end as following_event_time,
        case when following_event_time <= event_time + interval 30 minute then following_event_date end as following_event_date
    from followed
)
select
    *,
    sum(is_chain_start) over (
        partition by stream_id order by event_number rows between unbounded preceding and current row
    ) as chain_number
from gaps
