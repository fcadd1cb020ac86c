-- Every loaded record with its alias (its own finest identifier), its stream (what its session follows) and what its price amounts to.
select
    *,
    coalesce(
        'user:' || user_id, 'email:' || email_hash, 'phone:' || phone_hash, 'anonymous:' || anonymous_id, 'device:' || device_id
    ) as alias_id,
    coalesce(
        'anonymous:' || anonymous_id, 'device:' || device_id, 'user:' || user_id, 'email:' || email_hash, 'phone:' || phone_hash
    ) as stream_id,
    -- Wide enough for any quantity and price: a product that does not fit would stop the run. Most records need no product.
    case
        when quantity is null then try_cast(price as decimal(18, 2))
        else try_cast(cast(quantity as decimal(19, 4)) * price as decimal(18, 2))
    end as price_amount
from raw.events
