-- Whose an alias is, and since when. An event with a user_id joins it with each weaker identifier on the same event, from the
-- event's day on; when a second user_id appears on an identifier, that identifier belongs to neither from that day on.
-- Where no source brings events, people are those of the CRM.
-- `$key` is empty, or secret: a bare hash of a user_id can be guessed.
with events as (
    select
        alias_id,
        stream_id,
        device_id,
        case when alias_id like 'user:%' then alias_id end as user_alias,
        min(event_date) as event_date
    from cleaned.events
    where alias_id is not null or stream_id is not null
    group by alias_id, stream_id, device_id
),
-- Of an event that has a user_id the row of cleaned.events tells no address.
addresses as (
    select event_date, file_id, row_number, 'email:' || email_hash as alias_id from raw.events where email_hash is not null
    union all
    select event_date, file_id, row_number, 'phone:' || phone_hash as alias_id from raw.events where phone_hash is not null
),
addressed as (
    select
        addresses.alias_id,
        case when counted.alias_id like 'user:%' then counted.alias_id end as user_alias,
        min(counted.event_date) as event_date
    from addresses
    join cleaned.events as counted
        on counted.event_date = addresses.event_date
        and counted.file_id = addresses.file_id
        and counted.row_number = addresses.row_number
    group by 1, 2
),
seen as (
    select alias_id, user_alias, event_date from events where alias_id is not null
    union all
    select alias_id, user_alias, event_date from addressed
    union all
    select stream_id as alias_id, user_alias, event_date from events where stream_id is not null
    union all
    select 'device:' || device_id as alias_id, user_alias, event_date from events where device_id is not null
),
known_people as (
    select 'user:' || user_id as alias_id, valid_from as event_date from cleaned.users where not $has_events
),
first_seen as (
    select alias_id, min(event_date) as first_day
    from (select alias_id, event_date from seen union all select alias_id, event_date from known_people) as every
    group by alias_id
),
users_of_alias as (
    select alias_id, user_alias, min(event_date) as first_day
    from seen
    where user_alias is not null and alias_id <> user_alias
    group by alias_id, user_alias
),
ranked as (
    select
        alias_id, user_alias, first_day,
        row_number() over (partition by alias_id order by first_day, user_alias) as user_number,
        lead(first_day) over (partition by alias_id order by first_day, user_alias) as second_day
    from users_of_alias
),
owners as (
    select alias_id, user_alias, first_day as signed_in_day, second_day as shared_day from ranked where user_number = 1
),
known as (
    select first_seen.alias_id, first_seen.first_day, owners.user_alias, owners.signed_in_day, owners.shared_day
    from first_seen left join owners on owners.alias_id = first_seen.alias_id
),
intervals as (
    select alias_id, alias_id as head_alias, 'alone' as rule, first_day as valid_from, signed_in_day as valid_to
    from known
    where signed_in_day is null or first_day < signed_in_day
    union all
    select alias_id, user_alias as head_alias, 'signed_in' as rule, signed_in_day as valid_from, shared_day as valid_to
    from known
    where signed_in_day is not null and (shared_day is null or signed_in_day < shared_day)
    union all
    select alias_id, alias_id as head_alias, 'shared' as rule, shared_day as valid_from, cast(null as date) as valid_to
    from known
    where shared_day is not null
)
select
    alias_id,
    'p' || substring(sha256($key || head_alias), 1, 20) as profile_id,
    rule,
    valid_from,
    valid_to
from intervals
