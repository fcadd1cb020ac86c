-- What each tile says of the interests of its alias on its day: events by the weight of their role. An event that names no category
-- (or brand) itself counts for each category (or the brand) of its item, as the catalogue had it on the event's day. It does not depend on the day as of
-- which one looks.
with item_tiles as (
    select * from features.user_item_days
),
term_tiles as (
    select * from features.user_term_days
),
items as (
    select * from cleaned.items
),
touched_items as (
    select
        item_tiles.alias_id, item_tiles.event_date, item_tiles.role, item_tiles.n, item_tiles.n_uncategorized,
        -- Tiles of an older release lack it: then no event had named a brand itself.
        coalesce(item_tiles.n_unbranded, item_tiles.n) as n_unbranded,
        items.kind as item_kind, items.brand, items.author, items.categories
    from item_tiles join items
        on items.item_id = item_tiles.item_id
        and items.valid_from <= item_tiles.event_date and (items.valid_to is null or items.valid_to > item_tiles.event_date)
),
of_categories as (
    select alias_id, event_date, role, n, n_uncategorized, item_kind, unnest(categories) as category from touched_items
),
signals as (
    select alias_id, event_date, role, kind, term as interest, n from term_tiles
    union all
    select alias_id, event_date, role, 'category' as kind, category as interest, n_uncategorized as n
    from of_categories where n_uncategorized > 0
    union all
    select alias_id, event_date, role, 'reading' as kind, category as interest, n from of_categories where role = 'read'
    union all
    select alias_id, event_date, role, 'video' as kind, category as interest, n
    from of_categories where role = 'play' and item_kind = 'video'
    union all
    select alias_id, event_date, role, 'music' as kind, coalesce(author, 'unknown') as interest, n
    from touched_items where role = 'play' and item_kind = 'music'
    union all
    select alias_id, event_date, role, 'brand' as kind, brand as interest, n_unbranded as n
    from touched_items where brand is not null and n_unbranded > 0
    union all
    select alias_id, event_date, role, 'author' as kind, author as interest, n from touched_items where author is not null
)
select
    signals.alias_id, signals.event_date, signals.kind, signals.interest,
    cast(cast(signals.n as decimal(9, 0)) * role_weights.weight as decimal(11, 3)) as weight
from signals join role_weights on role_weights.role = signals.role
where signals.interest is not null
