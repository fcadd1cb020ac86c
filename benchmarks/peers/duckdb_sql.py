"""The reference job as hand-written DuckDB SQL, outside of Dagster: whole history at once, in memory, default settings.

Not here: what the job is (`reference`).
"""

import duckdb

from benchmarks.peers.reference import RESULTS, Job, run_peer

STATEMENTS = {
    "events": """
        create or replace table events as
        with valid as (
            select event_id, event_time, received_at, row_number, event_type, quantity, price,
                coalesce('user:' || user_id, 'anonymous:' || anonymous_id, 'device:' || device_id) as alias_id
            from raw
            where event_time >= $starts_at and event_time < $ends_at and coalesce(price, 0) >= 0 and coalesce(quantity, 0) >= 0
                and (user_id is not null or anonymous_id is not null or device_id is not null)
        ),
        repeated as (select event_id from valid group by event_id having count(*) > 1),
        losers as (
            select row_number as loser from (
                select row_number, row_number() over (partition by event_id order by received_at, event_time, row_number) as copy
                from valid semi join repeated using (event_id)
            ) where copy > 1
        )
        select event_id, event_time, event_type, quantity, price, alias_id from valid anti join losers on loser = row_number
    """,
    "numbered": """
        create or replace table numbered as
        with gaps as (
            select alias_id, event_time, row_number() over ordered as event_number,
                case when event_time <= lag(event_time) over ordered + interval 30 minute then 0 else 1 end as is_start
            from events window ordered as (partition by alias_id order by event_time, event_id)
        )
        select alias_id, event_time,
            sum(is_start) over (partition by alias_id order by event_number rows unbounded preceding) as session_number
        from gaps
    """,
    "sessions": """
        create or replace table sessions as
        select alias_id, min(event_time) as started_at, max(event_time) as ended_at, count(*) as n_events
        from numbered group by alias_id, session_number
    """,
    "tiles": """
        create or replace table tiles as
        with counted as (
            select alias_id, cast(event_time + interval 8 hour as date) as event_date, count(*) as n_events,
                count(*) filter (where event_type = 'view') as n_views, count(*) filter (where event_type = 'purchase') as n_purchases,
                cast(coalesce(sum(coalesce(quantity, 1) * price) filter (where event_type = 'purchase'), 0) as bigint) as amount_cents
            from events group by all
        ),
        started as (
            select alias_id, cast(started_at + interval 8 hour as date) as event_date, count(*) as n_sessions from sessions group by all
        )
        select counted.*, coalesce(n_sessions, 0) as n_sessions from counted left join started using (alias_id, event_date)
    """,
    "sums": """
        create or replace table sums as
        select alias_id, cast(sum(n_events) as bigint) as n_events, cast(sum(n_views) as bigint) as n_views,
            cast(sum(n_purchases) as bigint) as n_purchases, cast(sum(amount_cents) as bigint) as amount_cents,
            cast(sum(n_sessions) as bigint) as n_sessions, count(*) as n_active_days
        from tiles where event_date between $window_from and $last_day group by alias_id
    """,
}


def parameters(job: Job, statement: str) -> dict[str, object]:
    """Return the parameters that a statement names."""
    known = {name: getattr(job, name) for name in ("starts_at", "ends_at", "window_from", "last_day")}
    return {name: value for name, value in known.items() if f"${name}" in statement}


def compute(job: Job) -> None:
    connection = duckdb.connect()
    connection.execute("set enable_progress_bar = false")
    connection.execute(f"create view raw as select * from read_parquet('{job.raw}')")
    for statement in STATEMENTS.values():
        connection.execute(statement, parameters(job, statement)).fetchall()
    for name in RESULTS:
        connection.execute(f"copy {name} to '{job.result(name)}'").fetchall()


if __name__ == "__main__":
    run_peer(compute)
