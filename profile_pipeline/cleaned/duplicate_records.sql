-- Records that lose to another record with the same event_id, over all days, of those whose hash is among `shared_hashes`.
-- The hash finds candidates, the id decides; file and row break ties between records that are equal in everything else: records
-- that differ only in where a field ends have one md5, and so have what is blank and what is null.
with candidates as (
    select
        *,
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
        )) as record_md5
    from raw.events semi join shared_hashes using (event_hash)
),
ranked as (
    select
        file_id, row_number,
        row_number() over (
            partition by event_id order by
                received_at asc nulls last, event_time, record_md5,
                source, event_type, anonymous_id, user_id, device_id, email_hash, phone_hash, session_id, order_id, item_id, category, brand,
                currency, query, url, referrer, campaign, device_type, channel, ip, user_agent, country, city, latitude, longitude,
                file_id, row_number
        ) as copy_number
    from candidates
)
select file_id, row_number from ranked where copy_number > 1
