-- The terms that an alias's events name themselves on a day: words of searches, categories, and brands. Text without spaces stays whole.
with events as (
    select * from cleaned.events
),
known as (
    select * from events where event_date between $first_day and $last_day and alias_id is not null
),
words as (
    select event_date, alias_id, role, unnest(string_split(lower(trim(regexp_replace(query, '[ \t\n\f\r]+', ' ', 'g'))), ' ')) as term
    from known where query is not null
),
terms as (
    select event_date, alias_id, 'keyword' as kind, substring(term, 1, 64) as term, role from words where term <> ''
    union all
    select event_date, alias_id, 'category' as kind, category as term, role from known where category is not null
    union all
    select event_date, alias_id, 'brand' as kind, brand as term, role from known where brand is not null
)
select event_date, alias_id, kind, term, role, count(*) as n
from terms
group by event_date, alias_id, kind, term, role
