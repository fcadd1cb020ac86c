-- What a profile is interested in as of each snapshot day: events by the weight of their role, fading with age. An event that
-- names no category itself counts for each category of its item, as the catalogue had it on the event's day.
with active as (
    select profile_id, as_of_date from features.behavior where as_of_date between $first_day and $last_day
),
item_tiles as (
    select * from visible_user_item_days
),
term_tiles as (
    select * from visible_user_term_days
),
items as (
    select * from cleaned.items
),
touched_items as (
    select
        item_tiles.as_of_date, item_tiles.profile_id, item_tiles.age_days, item_tiles.role, item_tiles.n, item_tiles.n_uncategorized,
        items.kind as item_kind, items.brand, items.author, items.categories
    from item_tiles join items
        on items.item_id = item_tiles.item_id
        and items.valid_from <= item_tiles.event_date and (items.valid_to is null or items.valid_to > item_tiles.event_date)
),
of_categories as (
    select as_of_date, profile_id, age_days, role, n, n_uncategorized, item_kind, unnest(categories) as category from touched_items
),
signals as (
    select as_of_date, profile_id, age_days, role, kind, term as interest, n from term_tiles
    union all
    select as_of_date, profile_id, age_days, role, 'category' as kind, category as interest, n_uncategorized as n
    from of_categories where n_uncategorized > 0
    union all
    select as_of_date, profile_id, age_days, role, 'reading' as kind, category as interest, n from of_categories where role = 'read'
    union all
    select as_of_date, profile_id, age_days, role, 'video' as kind, category as interest, n
    from of_categories where role = 'play' and item_kind = 'video'
    union all
    select as_of_date, profile_id, age_days, role, 'music' as kind, coalesce(author, 'unknown') as interest, n
    from touched_items where role = 'play' and item_kind = 'music'
    union all
    select as_of_date, profile_id, age_days, role, 'brand' as kind, brand as interest, n from touched_items where brand is not null
    union all
    select as_of_date, profile_id, age_days, role, 'author' as kind, author as interest, n from touched_items where author is not null
),
summed as (
    select
        signals.as_of_date, signals.profile_id, signals.kind, signals.interest,
        cast(sum(cast(cast(signals.n as decimal(9, 0)) * role_weights.weight as decimal(18, 6)) * decay_weights.weight) as decimal(18, 6)) as score
    from signals
    join role_weights on role_weights.role = signals.role
    join decay_weights on decay_weights.age_days = signals.age_days
    where signals.interest is not null
    group by signals.as_of_date, signals.profile_id, signals.kind, signals.interest
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
