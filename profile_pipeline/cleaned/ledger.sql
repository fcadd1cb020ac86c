-- Where the events of each file are, of the days in `ledger_days`.
with loaded as (
    select event_date, file_id, count(*) as n_loaded from raw.events semi join ledger_days using (event_date) group by event_date, file_id
),
cleaned as (
    select event_date, file_id, count(*) as n_cleaned from cleaned.events semi join ledger_days using (event_date) group by event_date, file_id
),
excluded as (
    select event_date, file_id, count(*) as n_excluded
    from cleaned.excluded_events semi join ledger_days using (event_date) group by event_date, file_id
),
waiting as (
    select event_date, file_id, cast(sum(n_events) as bigint) as n_waiting
    from raw.pending semi join ledger_days using (event_date)
    where file_id is not null group by event_date, file_id
)
select
    loaded.event_date,
    loaded.file_id,
    loaded.n_loaded,
    coalesce(cleaned.n_cleaned, 0) as n_cleaned,
    coalesce(excluded.n_excluded, 0) as n_excluded,
    coalesce(waiting.n_waiting, 0) as n_waiting
from loaded
left join cleaned on cleaned.event_date = loaded.event_date and cleaned.file_id = loaded.file_id
left join excluded on excluded.event_date = loaded.event_date and excluded.file_id = loaded.file_id
left join waiting on waiting.event_date = loaded.event_date and waiting.file_id = loaded.file_id
