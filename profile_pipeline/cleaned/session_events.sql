-- Every event of `session_chains` with its session: the part of its chain between two of the cuts in `session_cuts`.
with cuts as (
    select event_id, 1 as is_cut from session_cuts
),
cut_chains as (
    select stream_id, chain_number from session_chains semi join cuts using (event_id)
),
cut_events as (
    select
        chains.event_id,
        coalesce(cuts.is_cut, 0) as is_cut,
        lead(coalesce(cuts.is_cut, 0)) over (
            partition by chains.stream_id, chains.chain_number order by chains.event_number
        ) as is_before_cut,
        sum(coalesce(cuts.is_cut, 0)) over (
            partition by chains.stream_id, chains.chain_number order by chains.event_number
            rows between unbounded preceding and current row
        ) as part_number
    from (select * from session_chains semi join cut_chains using (stream_id, chain_number)) as chains
    left join cuts on cuts.event_id = chains.event_id
)
select
    chains.stream_id, chains.chain_number, coalesce(cut_events.part_number, 0) as part_number, chains.event_number,
    chains.event_date, chains.event_time, chains.event_id, chains.alias_id, chains.page, chains.role,
    chains.is_chain_start = 1 or coalesce(cut_events.is_cut, 0) = 1 as is_start,
    case when coalesce(cut_events.is_before_cut, 0) = 0 then chains.following_event_time end as next_event_time,
    case when coalesce(cut_events.is_before_cut, 0) = 0 then chains.following_event_date end as next_event_date
from session_chains as chains left join cut_events on cut_events.event_id = chains.event_id
