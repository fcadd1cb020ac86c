-- Quantiles of what people did and spent, as of the end of a week, over everybody who has a row.
with behavior as (
    select * from features.behavior where as_of_date = $as_of_date
),
demand as (
    select * from features.demand where as_of_date = $as_of_date
),
long as (
    {long}
),
ranked as (
    select
        name, value,
        row_number() over (partition by name order by value) as place,
        count(*) over (partition by name) as n_people
    from long where value is not null
),
quantiles as (
    select unnest(range(1, 20)) as twentieth
)
select
    cast($week as date) as week,
    'quantile' as statistic,
    ranked.name || ':' || case quantiles.twentieth % 2 when 0 then '0.' || cast(quantiles.twentieth // 2 as varchar) else '0.' || lpad(cast(quantiles.twentieth * 5 as varchar), 2, '0') end as key,
    ranked.value,
    ranked.n_people
from ranked join quantiles
    on ranked.place = greatest(1, cast(ceil(cast(quantiles.twentieth * ranked.n_people as double) / 20) as bigint))
