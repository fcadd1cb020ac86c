-- Every event of `session_chains` with its session.
with chains as (
    select * from session_chains
),
cuts as (
    select event_id, true as is_cut from long_chain_cuts
),
starts as (
    select
        chains.*,
        chains.is_chain_start or coalesce(cuts.is_cut, false) or (chains.is_other_user and not chains.is_long_chain) as is_start
    from chains left join cuts on cuts.event_id = chains.event_id
),
numbered as (
    select
        *,
        sum(case when is_start then 1 else 0 end) over (
            partition by stream_id order by event_time, event_id rows between unbounded preceding and current row
        ) as session_number
    from starts
)
select
    *,
    's' || substring(sha256(stream_id || '|' || max(case when is_start then event_id end) over (
        partition by stream_id, session_number
    )), 1, 20) as session_id,
    lead(event_time) over (partition by stream_id, session_number order by event_time, event_id) as next_event_time,
    lead(event_date) over (partition by stream_id, session_number order by event_time, event_id) as next_event_date
from numbered
