-- Streams that did more on a day than a person can; judged by that day alone.
with counted as (
    select stream_id, event_date, count(*) as n_events
    from scoped_events anti join duplicate_records using (file_id, row_number)
    where stream_id is not null
    group by stream_id, event_date
)
select stream_id, event_date from counted where n_events > $max_events_per_stream_day
