-- A record of `scoped_events` that does not count, with the reason; the first reason that holds is given.
-- Absurd numbers do not count: sums of many of them would overflow what later tables hold.
with arrived as (
    -- Under whichever name the bytes came first: where they are loaded under a later one, they were there already.
    select file_id, min(arrived_at) as arrived_at from raw.files group by file_id
),
duplicates as (
    select file_id, row_number, true as is_duplicate from duplicate_records
),
bots as (
    select stream_id, event_date, true as is_bot_day from bot_days
),
known as (
    select
        scoped.*,
        coalesce(duplicates.is_duplicate, false) as is_duplicate,
        coalesce(bots.is_bot_day, false) as is_bot_day,
        arrived.arrived_at
    from scoped_events as scoped
    left join duplicates on duplicates.file_id = scoped.file_id and duplicates.row_number = scoped.row_number
    left join bots on bots.stream_id = scoped.stream_id and bots.event_date = scoped.event_date
    left join arrived on arrived.file_id = scoped.file_id
),
judged as (
    select
        event_date,
        file_id,
        row_number,
        case
            when is_duplicate then 'duplicate'
            when event_date < $calendar_start or event_date > $calendar_end then 'out_of_calendar'
            when event_time > coalesce(received_at, arrived_at) + interval 1 day then 'out_of_calendar_future'
            when price < 0 then 'invalid_price'
            when quantity < 0 then 'invalid_quantity'
            when quantity = 0 and role in ('purchase', 'refund') then 'invalid_quantity'
            when price is not null and (price_amount is null or price_amount >= 1000000000000) then 'invalid_amount'
            when quantity >= 1000000000 then 'invalid_quantity'
            when abs(value) >= 1000000000 then 'invalid_value'
            when regexp_matches(lower(coalesce(user_agent, '')), $bot_user_agents) then 'bot_user_agent'
            when is_bot_day then 'bot_volume'
        end as reason_code
    from known
)
select event_date, file_id, row_number, reason_code from judged where reason_code is not null
