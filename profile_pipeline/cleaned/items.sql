-- What is known of an item, version by version; the rules are those of users.
with records as (
    select
        r.*,
        coalesce(full_record_sources.source is not null, false) as is_full_record,
        md5(concat_ws(
            '|', coalesce(kind, ''), coalesce(title, ''), coalesce(cast(to_json(categories) as varchar), ''), coalesce(brand, ''),
            coalesce(author, ''), coalesce(cast(price as varchar), ''), coalesce(currency, ''),
            coalesce(cast(attributes as varchar), '')
        )) as record_md5
    from raw.items as r left join full_record_sources on full_record_sources.source = r.source
),
-- The order of records, said once: what is told of two records that differ in anything depends on no file.
ordered as (
    select
        *,
        row_number() over (
            partition by item_id order by updated_at asc nulls first, record_md5, is_full_record, kind, title, brand, author, currency
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
            partition by item_id order by record_number
            rows between unbounded preceding and current row
        ) as n_full_records
    from ordered
),
-- What has no time is the oldest that is known, and is held from the calendar's first day: also from before it, where a record
-- with a time is from before. Days then follow in the order in which records are filled.
placed as (
    select *, case when is_timeless then min(first_day) over (partition by item_id) else first_day end as valid_from
    from dated
),
filled as (
    select
        item_id, valid_from, is_timeless, record_number,
        last_value(kind ignore nulls) over known as kind,
        last_value(title ignore nulls) over known as title,
        last_value(categories ignore nulls) over known as categories,
        last_value(brand ignore nulls) over known as brand,
        last_value(author ignore nulls) over known as author,
        last_value(price ignore nulls) over known as price,
        last_value(currency ignore nulls) over known as currency,
        list(attributes) over known as attributes_so_far
    from placed
    window known as (
        partition by item_id, n_full_records order by record_number
        rows between unbounded preceding and current row
    )
),
ranked as (
    select
        *,
        -- Field by field: a record that names some keeps the others.
        list_reduce(list_filter(attributes_so_far, lambda a: a is not null), lambda a, b: json_merge_patch(a, b), json('{}')) as merged_attributes,
        row_number() over (partition by item_id, valid_from order by record_number desc) as place
    from filled
),
versions as (
    select * from ranked where place = 1
)
select
    item_id, kind, title, categories, brand, author, price, currency,
    case when cast(merged_attributes as varchar) <> '{}' then merged_attributes end as attributes,
    is_timeless,
    valid_from,
    lead(valid_from) over (partition by item_id order by valid_from) as valid_to
from versions
