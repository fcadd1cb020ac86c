-- A person as of a day, wide: everybody who has a row in the matrix; in behavior too, where there are events. `$final_before`: days before it had ended.
with people as (
    select profile_id, as_of_date from features.user_features where as_of_date in (select as_of_date from snapshot_days)
),
behavior as (
    select * from features.behavior where as_of_date in (select as_of_date from snapshot_days)
),
demand as (
    select * from features.demand where as_of_date in (select as_of_date from snapshot_days)
),
interests as (
    select * from features.interests where as_of_date in (select as_of_date from snapshot_days) and rank <= 5
),
segments as (
    select * from profiles.scores where model = $segment_model and as_of_date in (select as_of_date from snapshot_days)
),
days as (
    select distinct as_of_date from people
),
held as (
    select days.as_of_date, identities.profile_id, identities.alias_id,
        case when identities.alias_id like 'user:%' then substring(identities.alias_id, 6) end as user_id
    from days join cleaned.identities as identities
        on identities.valid_from <= days.as_of_date and (identities.valid_to is null or identities.valid_to > days.as_of_date)
),
aliases as (
    select
        as_of_date, profile_id, count(*) as n_aliases,
        list_sort(list(user_id) filter (where user_id is not null)) as user_ids
    from held group by as_of_date, profile_id
),
known as (
    select
        held.as_of_date, held.profile_id, users.gender, users.birth_date, users.birth_year, users.income_band, users.occupation,
        users.education, users.city, users.country, users.registered_at, users.attributes,
        row_number() over (partition by held.as_of_date, held.profile_id order by held.user_id) as place
    from held join cleaned.users as users on users.user_id = held.user_id
        and users.valid_from <= held.as_of_date and (users.valid_to is null or users.valid_to > held.as_of_date)
),
crm as (
    select * from known where place = 1
),
by_kind as (
    select as_of_date, profile_id, kind,
        -- An array of one, closed later: to_json quotes text in an array the same on both engines.
        string_agg(rtrim(cast(to_json([interest]) as varchar), ']') || ',' || cast(score as varchar) || ']', ',' order by rank) as items
    from interests group by as_of_date, profile_id, kind
),
told_interests as (
    select as_of_date, profile_id,
        '{' || string_agg('"' || kind || '":[' || items || ']', ',' order by kind) || '}' as interests
    from by_kind group by as_of_date, profile_id
)
select
    people.profile_id,
    people.as_of_date,
    people.as_of_date < $final_before as is_final,
    coalesce(aliases.user_ids, cast([] as varchar[])) as user_ids,
    coalesce(aliases.n_aliases, 0) as n_aliases,
    crm.gender,
    crm.birth_date,
    crm.birth_year,
    crm.income_band,
    crm.occupation,
    crm.education,
    crm.city,
    crm.country,
    crm.registered_at,
    crm.attributes,
    behavior.recency_days,
    behavior.tenure_days,
    behavior.n_events_7d,
    behavior.n_events_30d,
    behavior.n_events_90d,
    behavior.n_sessions_30d,
    behavior.session_seconds_30d,
    behavior.n_active_days_30d,
    behavior.n_active_days_90d,
    behavior.n_views_30d,
    behavior.n_searches_30d,
    behavior.n_purchases_90d,
    behavior.n_purchases_all,
    behavior.n_orders_all,
    behavior.n_refunds_all,
    behavior.purchase_amount_90d,
    behavior.purchase_amount_all,
    behavior.n_night_events_90d,
    demand.n_open_cart_items,
    demand.last_cart_date,
    demand.n_intent_items_7d,
    demand.last_search_date,
    demand.first_purchase_date,
    demand.last_purchase_date,
    demand.purchase_recency_days,
    demand.net_amount_90d,
    demand.net_amount_all,
    demand.mean_order_amount_all,
    demand.refund_share_all,
    demand.clv_frequency,
    demand.clv_recency_days,
    demand.clv_age_days,
    demand.clv_monetary,
    cast(told_interests.interests as json) as interests,
    segments.class as segment
from people
left join behavior on behavior.profile_id = people.profile_id and behavior.as_of_date = people.as_of_date
left join demand on demand.profile_id = people.profile_id and demand.as_of_date = people.as_of_date
left join aliases on aliases.profile_id = people.profile_id and aliases.as_of_date = people.as_of_date
left join crm on crm.profile_id = people.profile_id and crm.as_of_date = people.as_of_date
left join told_interests on told_interests.profile_id = people.profile_id and told_interests.as_of_date = people.as_of_date
left join segments on segments.profile_id = people.profile_id and segments.as_of_date = people.as_of_date
