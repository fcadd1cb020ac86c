-- Events of chains that last more than 24 hours or reach a third date, in the order in which `sessions.cut_long_chains` takes them.
with long_chains as (
    select stream_id, chain_number
    from session_chains
    group by stream_id, chain_number
    having
        max(event_time) > min(event_time) + interval 24 hour
        or max(event_date) > cast(min(event_date) + interval 1 day as date)
)
select
    stream_id, chain_number, event_time, event_date,
    case when alias_id like 'user:%' then alias_id end as user_alias,
    event_id
from session_chains semi join long_chains using (stream_id, chain_number)
order by stream_id, chain_number, event_number
