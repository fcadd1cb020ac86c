-- What a profile needs and spends, as of each snapshot day.
with behavior as (
    select * from features.behavior where as_of_date in (select as_of_date from snapshot_days)
),
tiles as (
    select * from visible_user_days
),
item_tiles as (
    select * from visible_user_item_days
),
per_date as (
    select
        as_of_date, profile_id, event_date, age_days,
        sum(n_purchases) as n_purchases,
        sum(n_searches) as n_searches,
        sum(n_add_to_carts) as n_add_to_carts,
        sum(purchase_amount) - sum(refund_amount) as net_amount
    from tiles
    where n_purchases + n_searches + n_add_to_carts + n_refunds > 0
    group by as_of_date, profile_id, event_date, age_days
),
firsts as (
    select as_of_date, profile_id, min(event_date) as first_purchase_date from per_date where n_purchases > 0 group by as_of_date, profile_id
),
spent as (
    select
        per_date.as_of_date,
        per_date.profile_id,
        max(firsts.first_purchase_date) as first_purchase_date,
        max(per_date.event_date) filter (where per_date.n_purchases > 0) as last_purchase_date,
        max(per_date.event_date) filter (where per_date.n_searches > 0) as last_search_date,
        max(per_date.event_date) filter (where per_date.n_add_to_carts > 0) as last_cart_date,
        count(*) filter (where per_date.n_purchases > 0) as n_purchase_dates,
        sum(per_date.net_amount) filter (where per_date.n_purchases > 0 and per_date.event_date > firsts.first_purchase_date) as repeat_amount,
        sum(per_date.net_amount) filter (where per_date.age_days < 90) as net_amount_90d,
        sum(per_date.net_amount) as net_amount_all
    from per_date
    left join firsts on firsts.as_of_date = per_date.as_of_date and firsts.profile_id = per_date.profile_id
    group by per_date.as_of_date, per_date.profile_id
),
of_items as (
    select
        as_of_date, profile_id, item_id,
        max(event_date) filter (where role = 'add_to_cart' and age_days < 30) as carted_date,
        max(event_date) filter (where role in ('purchase', 'remove_from_cart')) as settled_date,
        count(distinct event_date) filter (where role = 'view' and age_days < 7) as n_view_dates_7d,
        count(*) filter (where role = 'add_to_cart' and age_days < 7) as n_cart_days_7d,
        count(*) filter (where role = 'purchase' and age_days < 7) as n_purchase_days_7d
    from item_tiles
    where role in ('add_to_cart', 'purchase', 'remove_from_cart') or (role = 'view' and age_days < 7)
    group by as_of_date, profile_id, item_id
),
wanted as (
    select
        as_of_date, profile_id,
        count(*) filter (where carted_date is not null and (settled_date is null or settled_date < carted_date)) as n_open_cart_items,
        count(*) filter (where (n_view_dates_7d >= 2 or n_cart_days_7d > 0) and n_purchase_days_7d = 0) as n_intent_items_7d
    from of_items
    group by as_of_date, profile_id
)
select
    behavior.profile_id,
    behavior.as_of_date,
    coalesce(wanted.n_open_cart_items, 0) as n_open_cart_items,
    spent.last_cart_date,
    coalesce(wanted.n_intent_items_7d, 0) as n_intent_items_7d,
    spent.last_search_date,
    spent.first_purchase_date,
    spent.last_purchase_date,
    cast(date_diff('day', spent.last_purchase_date, behavior.as_of_date) as integer) as purchase_recency_days,
    cast(coalesce(spent.net_amount_90d, 0) as decimal(18, 2)) as net_amount_90d,
    cast(coalesce(spent.net_amount_all, 0) as decimal(18, 2)) as net_amount_all,
    cast(cast(round(cast(behavior.purchase_amount_all * 100 as double) / nullif(behavior.n_orders_all, 0)) as double) / 100 as decimal(18, 2)) as mean_order_amount_all,
    cast(behavior.refund_amount_all as double) / nullif(cast(behavior.purchase_amount_all as double), 0) as refund_share_all,
    greatest(coalesce(spent.n_purchase_dates, 0) - 1, 0) as clv_frequency,
    cast(date_diff('day', spent.first_purchase_date, spent.last_purchase_date) as integer) as clv_recency_days,
    cast(date_diff('day', spent.first_purchase_date, behavior.as_of_date) as integer) as clv_age_days,
    cast(cast(round(cast(cast(spent.repeat_amount as decimal(18, 2)) * 100 as double) / nullif(spent.n_purchase_dates - 1, 0)) as double) / 100 as decimal(18, 2)) as clv_monetary
from behavior
left join spent on spent.profile_id = behavior.profile_id and spent.as_of_date = behavior.as_of_date
left join wanted on wanted.profile_id = behavior.profile_id and wanted.as_of_date = behavior.as_of_date
