-- An edge between two users, from the day on which a source first says so.
with records as (
    select
        user_id,
        other_user_id,
        coalesce(relation, 'related') as relation,
        updated_at is null as is_timeless,
        case
            when updated_at is null then $calendar_start
            else cast(updated_at at time zone 'UTC' at time zone $timezone as date)
        end as valid_from
    from raw.relations
),
ranked as (
    select
        *,
        row_number() over (
            partition by user_id, other_user_id, relation order by valid_from, case when is_timeless then 1 else 0 end
        ) as place
    from records
)
select user_id, other_user_id, relation, is_timeless, valid_from, cast(null as date) as valid_to from ranked where place = 1
