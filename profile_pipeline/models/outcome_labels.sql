-- What became of the people who were active lately: a label as of a cohort's day, from the days after it up to the horizon.
-- A label follows the aliases: it is that of the profiles which hold the person's aliases at the end of the horizon.
with identities as (
    select * from cleaned.identities
),
tiles as (
    select * from features.user_days
),
held as (
    select profile_id, alias_id from identities where valid_from <= $cohort and (valid_to is null or valid_to > $cohort)
),
held_later as (
    select profile_id, alias_id from identities where valid_from <= $label_until and (valid_to is null or valid_to > $label_until)
),
active as (
    select held.profile_id
    from tiles join held on held.alias_id = tiles.alias_id
    where tiles.event_date > $active_after and tiles.event_date <= $cohort
    group by held.profile_id
),
happened as (
    select held_later.profile_id, sum({measure}) as n_happened
    from tiles join held_later on held_later.alias_id = tiles.alias_id
    where tiles.event_date > $cohort and tiles.event_date <= $label_until
    group by held_later.profile_id
),
successors as (
    select distinct held.profile_id, held_later.profile_id as later_profile_id
    from held join held_later on held_later.alias_id = held.alias_id
)
select
    active.profile_id,
    cast(coalesce(sum(happened.n_happened), 0) > 0 as boolean) as has_happened
from active
left join successors on successors.profile_id = active.profile_id
left join happened on happened.profile_id = successors.later_profile_id
group by active.profile_id
