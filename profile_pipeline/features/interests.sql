-- What a profile is interested in as of each snapshot day: what its days say, fading with age.
with active as (
    select profile_id, as_of_date from features.behavior where as_of_date in (select as_of_date from snapshot_days)
),
days as (
    select * from visible_interest_days
),
summed as (
    select
        days.as_of_date, days.profile_id, days.kind, days.interest,
        cast(sum(days.weight * decay_weights.weight) as decimal(18, 6)) as score
    from days join decay_weights on decay_weights.age_days = days.age_days
    group by days.as_of_date, days.profile_id, days.kind, days.interest
),
ranked as (
    select
        summed.*,
        cast(row_number() over (
            partition by summed.as_of_date, summed.profile_id, summed.kind order by summed.score desc, summed.interest
        ) as integer) as rank
    from summed join active on active.profile_id = summed.profile_id and active.as_of_date = summed.as_of_date
    where summed.score > 0
)
select profile_id, as_of_date, kind, interest, score, rank from ranked where rank <= $interests_per_kind
