-- Every loaded record with its alias (its own finest identifier) and its stream (what its session follows).
select
    *,
    coalesce(
        'user:' || user_id, 'email:' || email_hash, 'phone:' || phone_hash, 'anonymous:' || anonymous_id, 'device:' || device_id
    ) as alias_id,
    coalesce(
        'anonymous:' || anonymous_id, 'device:' || device_id, 'user:' || user_id, 'email:' || email_hash, 'phone:' || phone_hash
    ) as stream_id
from raw.events
