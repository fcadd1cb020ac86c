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
ordered as (
    select
        *,
        row_number() over (
            partition by session_id order by case when page is null then 1 else 0 end, event_time, event_id
        ) as page_order,
        row_number() over (
            partition by session_id order by case when page is null then 1 else 0 end, event_time desc, event_id desc
        ) as page_order_backwards
    from events
)
select
    session_id,
    stream_id,
    substring(min(ranked_alias), 2) as alias_id,
    min(case when is_start then event_date end) as event_date,
    min(event_time) as started_at,
    max(event_time) as ended_at,
    count(*) as n_events,
    max(case when page_order = 1 then page end) as entry_page,
    max(case when page_order_backwards = 1 then page end) as exit_page,
    max(case when role = 'purchase' then 1 else 0 end) = 1 as is_converted,
    max(case when is_start then event_id end) as first_event_id
from ordered
group by session_id, stream_id
