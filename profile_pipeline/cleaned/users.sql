-- What is known of a user, version by version. A null in a newer record keeps the older value, unless the source delivers
-- full records. Of several records of one day the latest stands; equal times are ordered by content, never by loading.
with records as (
    select
        r.*,
        coalesce(full_record_sources.source is not null, false) as is_full_record,
        md5(concat_ws(
            '|', coalesce(gender, ''), coalesce(cast(birth_date as varchar), ''), coalesce(cast(birth_year as varchar), ''),
            coalesce(income_band, ''), coalesce(occupation, ''), coalesce(education, ''), coalesce(city, ''),
            coalesce(country, ''), coalesce(cast(registered_at as varchar), ''), coalesce(cast(attributes as varchar), '')
        )) as record_md5
    from raw.users as r left join full_record_sources on full_record_sources.source = r.source
),
-- The order of records, said once: what is told of two records that differ in anything depends on no file.
ordered as (
    select
        *,
        row_number() over (
            partition by user_id order by updated_at asc nulls first, record_md5, is_full_record, gender, income_band, occupation, education, city, country
        ) as record_number
    from records
),
dated as (
    select
        *,
        updated_at is null as is_timeless,
        case
            when updated_at is null then $calendar_start
            else cast(updated_at at time zone 'UTC' at time zone $timezone as date)
        end as first_day,
        sum(case when is_full_record then 1 else 0 end) over (
            partition by user_id order by record_number
            rows between unbounded preceding and current row
        ) as n_full_records
    from ordered
),
-- What has no time is the oldest that is known, and is held from the calendar's first day: also from before it, where a record
-- with a time is from before. Days then follow in the order in which records are filled.
placed as (
    select *, case when is_timeless then min(first_day) over (partition by user_id) else first_day end as valid_from
    from dated
),
filled as (
    select
        user_id, valid_from, is_timeless, record_number,
        last_value(gender ignore nulls) over known as gender,
        last_value(birth_date ignore nulls) over known as birth_date,
        last_value(birth_year ignore nulls) over known as birth_year,
        last_value(income_band ignore nulls) over known as income_band,
        last_value(occupation ignore nulls) over known as occupation,
        last_value(education ignore nulls) over known as education,
        last_value(city ignore nulls) over known as city,
        last_value(country ignore nulls) over known as country,
        last_value(registered_at ignore nulls) over known as registered_at,
        list(attributes) over known as attributes_so_far
    from placed
    window known as (
        partition by user_id, n_full_records order by record_number
        rows between unbounded preceding and current row
    )
),
ranked as (
    select
        *,
        -- Field by field: a record that names some keeps the others.
        list_reduce(list_filter(attributes_so_far, lambda a: a is not null), lambda a, b: json_merge_patch(a, b), json('{}')) as merged_attributes,
        row_number() over (partition by user_id, valid_from order by record_number desc) as place
    from filled
),
versions as (
    select * from ranked where place = 1
)
select
    user_id, gender, birth_date, birth_year, income_band, occupation, education, city, country, registered_at,
    case when cast(merged_attributes as varchar) <> '{}' then merged_attributes end as attributes,
    is_timeless,
    valid_from,
    lead(valid_from) over (partition by user_id order by valid_from) as valid_to
from versions
