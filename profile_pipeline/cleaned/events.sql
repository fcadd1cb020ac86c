-- An event that counts. Wide text that no later stage reads stays in raw and is joined back by (file_id, row_number).
with judged as (
    select * from judged_events where reason_code is null
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
        when is_other_currency then null
        when price is not null then price_amount
        when role in ('purchase', 'refund') then cast(value as decimal(18, 2))
    end as amount,
    file_id,
    row_number
from judged
