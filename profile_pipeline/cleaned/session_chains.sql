-- The events of `session_input`, chained: a chain ends at a gap of more than 30 minutes. Within a chain of at most 24 hours a
-- session starts with the chain and where another user is named; longer chains are cut by `sessions.cut_long_chains`.
with named as (
    select
        stream_id, event_date, event_time, event_id, alias_id, page, role,
        case when alias_id like 'user:%' then alias_id end as user_alias
    from session_input
),
gaps as (
    select
        *,
        case
            when event_time <= lag(event_time) over (partition by stream_id order by event_time, event_id) + interval 30 minute then 0
            else 1
        end as is_chain_start
    from named
),
chained as (
    select
        *,
        sum(is_chain_start) over (
            partition by stream_id order by event_time, event_id rows between unbounded preceding and current row
        ) as chain_number
    from gaps
),
measured as (
    select
        *,
        min(event_time) over (partition by stream_id, chain_number) as chain_started_at,
        max(event_time) over (partition by stream_id, chain_number) as chain_ended_at,
        lag(user_alias ignore nulls) over (partition by stream_id, chain_number order by event_time, event_id) as last_user_alias
    from chained
)
select
    stream_id, event_date, event_time, event_id, alias_id, page, role, user_alias, chain_number,
    is_chain_start = 1 as is_chain_start,
    coalesce(user_alias <> last_user_alias, false) as is_other_user,
    chain_ended_at > chain_started_at + interval 24 hour as is_long_chain
from measured
