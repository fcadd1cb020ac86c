-- What an alias did with an item on a day, by role.
with events as (
    select * from cleaned.events
),
counted as (
    select * from events where event_date between $first_day and $last_day and alias_id is not null and item_id is not null
)
select
    event_date,
    alias_id,
    item_id,
    role,
    count(*) as n,
    count(*) filter (where category is null) as n_uncategorized,
    count(*) filter (where brand is null) as n_unbranded,
    cast(sum(quantity) as decimal(18, 4)) as quantity,
    cast(sum(amount) as decimal(18, 2)) as amount,
    cast(sum(value) as decimal(18, 4)) as value
from counted
group by event_date, alias_id, item_id, role
