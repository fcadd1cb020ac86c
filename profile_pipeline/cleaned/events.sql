-- A record of `scoped_events` that counts: one that is not among `excluded_records`. Wide text that no later stage reads stays in raw
-- and is joined back by (file_id, row_number).
with counted as (
    select * from scoped_events anti join excluded_records using (file_id, row_number)
)
select
    event_id,
    event_date,
    event_time,
    role,
    alias_id,
    stream_id,
    device_id,
    substring(
        coalesce(
            nullif(regexp_replace(regexp_replace(url, '^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*', '', 'g'), '[?#].*$', '', 'g'), ''),
            item_id
        ), 1, 64
    ) as page,
    order_id,
    item_id,
    category,
    brand,
    query,
    quantity,
    value,
    case
        when currency <> $currency then null
        when price is not null then price_amount
        when role in ('purchase', 'refund') then cast(value as decimal(18, 2))
    end as amount,
    file_id,
    row_number
from counted
