-- The events that start a session within a chain: where another user is named than the last one named in it. Few chains name two
-- users. Those that last more than 24 hours or reach a third date are cut in order, by `sessions.cut_long_chains`.
with named as (
    select
        stream_id, chain_number, event_number, event_id, event_time, event_date,
        case when alias_id like 'user:%' then alias_id end as user_alias
    from session_chains
),
contested as (
    select stream_id, chain_number
    from named
    group by stream_id, chain_number
    having
        min(user_alias) <> max(user_alias)
        and max(event_time) <= min(event_time) + interval 24 hour
        and max(event_date) <= cast(min(event_date) + interval 1 day as date)
),
followed as (
    select
        event_id, user_alias,
        lag(user_alias) over (partition by stream_id, chain_number order by event_number) as last_user_alias
    from named semi join contested using (stream_id, chain_number)
    where user_alias is not null
)
select event_id from followed where user_alias <> last_user_alias
