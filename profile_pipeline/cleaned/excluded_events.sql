-- An event that was loaded and does not count, with the reason.
with judged as (
    select * from judged_events where reason_code is not null
)
select event_date, file_id, row_number, reason_code from judged
