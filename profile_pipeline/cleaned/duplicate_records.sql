-- Records that lose to another record with the same event_id, over all days, of those whose hash is among `shared_hashes`.
-- The hash finds candidates, the id decides; file and row break ties between records that are equal in everything else. One md5
-- have also records that differ only in where a field ends, in blank or null, or in the last places of a coordinate.
with candidates as (
    select
        file_id, row_number, event_id, received_at, event_time, latitude, longitude,
        md5(concat_ws(
            '|', source, event_type, coalesce(cast(sent_at as varchar), ''), coalesce(anonymous_id, ''), coalesce(user_id, ''),
            coalesce(device_id, ''), coalesce(email_hash, ''), coalesce(phone_hash, ''), coalesce(session_id, ''),
            coalesce(order_id, ''), coalesce(item_id, ''), coalesce(category, ''), coalesce(brand, ''), coalesce(cast(quantity as varchar), ''),
            coalesce(cast(price as varchar), ''), coalesce(cast(value as varchar), ''), coalesce(currency, ''),
            coalesce(query, ''), coalesce(url, ''), coalesce(referrer, ''), coalesce(campaign, ''), coalesce(device_type, ''),
            coalesce(channel, ''), coalesce(ip, ''), coalesce(user_agent, ''), coalesce(country, ''), coalesce(city, ''),
            coalesce(cast(try_cast(round(latitude * 1000000000) as bigint) as varchar), ''),
            coalesce(cast(try_cast(round(longitude * 1000000000) as bigint) as varchar), ''),
            coalesce(cast(properties as varchar), '')
        )) as record_md5,
        concat_ws(
            '|',
            coalesce(cast(length(source) as varchar), ''), coalesce(cast(length(event_type) as varchar), ''),
            coalesce(cast(length(anonymous_id) as varchar), ''), coalesce(cast(length(user_id) as varchar), ''),
            coalesce(cast(length(device_id) as varchar), ''), coalesce(cast(length(email_hash) as varchar), ''),
            coalesce(cast(length(phone_hash) as varchar), ''), coalesce(cast(length(session_id) as varchar), ''),
            coalesce(cast(length(order_id) as varchar), ''), coalesce(cast(length(item_id) as varchar), ''),
            coalesce(cast(length(category) as varchar), ''), coalesce(cast(length(brand) as varchar), ''),
            coalesce(cast(length(currency) as varchar), ''), coalesce(cast(length(query) as varchar), ''),
            coalesce(cast(length(url) as varchar), ''), coalesce(cast(length(referrer) as varchar), ''),
            coalesce(cast(length(campaign) as varchar), ''), coalesce(cast(length(device_type) as varchar), ''),
            coalesce(cast(length(channel) as varchar), ''), coalesce(cast(length(ip) as varchar), ''),
            coalesce(cast(length(user_agent) as varchar), ''), coalesce(cast(length(country) as varchar), ''),
            coalesce(cast(length(city) as varchar), '')
        ) as field_lengths
    from raw.events semi join shared_hashes using (event_hash)
),
ranked as (
    select
        file_id, row_number,
        row_number() over (
            partition by event_id order by
                received_at asc nulls last, event_time, record_md5, field_lengths, latitude, longitude, file_id, row_number
        ) as copy_number
    from candidates
)
select file_id, row_number from ranked where copy_number > 1
