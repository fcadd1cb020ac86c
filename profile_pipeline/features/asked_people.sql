-- Who is meant by each row that somebody asks for, as the identity map stood at the end of the last day that had ended by the
-- row's time: a plain date is known at its end, a moment within a day is not, so its last day is the one before.
-- A person is named as in `show`: a profile_id, an alias, or a bare user_id; of several meanings the first that held then.
with rows_asked as (
    select * from asked_rows
),
identities as (
    select * from cleaned.identities
),
dated as (
    select
        row_number, person, stated_date,
        cast(stated_at at time zone 'UTC' at time zone $timezone as date) as date_of_moment
    from rows_asked
),
known_until as (
    select
        row_number, person,
        coalesce(stated_date, date_of_moment) as stated_day,
        coalesce(stated_date, cast(date_of_moment - interval 1 day as date)) as as_of_date
    from dated
),
within as (
    select * from known_until where stated_day between $first_day and $last_day
),
meanings as (
    select profile_id as person, profile_id, valid_from, valid_to, 1 as place from identities
    union all
    select alias_id as person, profile_id, valid_from, valid_to, 2 as place from identities
    union all
    select substring(alias_id, 6) as person, profile_id, valid_from, valid_to, 3 as place from identities where alias_id like 'user:%'
),
held as (
    select
        within.row_number, meanings.profile_id,
        row_number() over (partition by within.row_number order by meanings.place, meanings.profile_id) as choice
    from within join meanings
        on meanings.person = within.person
        and meanings.valid_from <= within.as_of_date and (meanings.valid_to is null or meanings.valid_to > within.as_of_date)
),
ever as (
    select distinct person from meanings
)
select
    within.row_number,
    within.as_of_date,
    held.profile_id,
    cast(ever.person is not null as boolean) as is_ever_known
from within
left join held on held.row_number = within.row_number and held.choice = 1
left join ever on ever.person = within.person
