-- What the CRM knows of people as of a day; a profile that holds several users who differ has no label.
with identities as (
    select * from cleaned.identities where valid_from <= $as_of_date and (valid_to is null or valid_to > $as_of_date)
),
users as (
    select * from cleaned.users where valid_from <= $as_of_date and (valid_to is null or valid_to > $as_of_date)
)
select
    identities.profile_id,
    min({label}) as label,
    min(coalesce(
        try_cast({time} as double),
        floor(cast(date_diff('microsecond', timestamp '1970-01-01 00:00:00', try_cast({time} as timestamp)) as double) / 1000000)
    )) as time
from identities join users on 'user:' || users.user_id = identities.alias_id
where {label} is not null
group by identities.profile_id
having count(distinct {label}) = 1
