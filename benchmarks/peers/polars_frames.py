"""The reference job in Polars: lazy frames, the streaming engine.

Not here: what the job is (`reference`).
"""

import polars as pl

from benchmarks.peers.reference import GAP_MINUTES, UTC_OFFSET_HOURS, Job, run_peer


def compute(job: Job) -> None:
    valid = (
        pl.scan_parquet(job.raw)
        .filter(
            (pl.col("event_time") >= job.starts_at)
            & (pl.col("event_time") < job.ends_at)
            & (pl.col("price").fill_null(0) >= 0)
            & (pl.col("quantity").fill_null(0) >= 0)
            & pl.any_horizontal(pl.col("user_id", "anonymous_id", "device_id").is_not_null())
        )
        .select(
            "event_id", "event_time", "received_at", "row_number", "event_type", "quantity", "price",
            alias_id=pl.coalesce(
                "user:" + pl.col("user_id"), "anonymous:" + pl.col("anonymous_id"), "device:" + pl.col("device_id")
            ),
        )
    )  # fmt: skip
    repeated = valid.group_by("event_id").agg(pl.len()).filter(pl.col("len") > 1).select("event_id")
    losers = (
        valid.join(repeated, on="event_id", how="semi")
        .sort("received_at", "event_time", "row_number")
        .filter(~pl.col("event_id").is_first_distinct())
        .select("row_number")
    )
    local = pl.duration(hours=UTC_OFFSET_HOURS)
    is_start = (pl.col("event_time").diff() > pl.duration(minutes=GAP_MINUTES)).fill_null(True) | (
        pl.col("alias_id") != pl.col("alias_id").shift()
    ).fill_null(True)
    events = (
        valid.join(losers, on="row_number", how="anti")
        .sort("alias_id", "event_time", "event_id")
        .select("alias_id", "event_time", "event_type", "quantity", "price", session_number=is_start.cum_sum())
        .collect(engine="streaming")
        .lazy()
    )
    sessions = (
        events.group_by("session_number")
        .agg(pl.col("alias_id").first(), started_at=pl.col("event_time").min(), ended_at=pl.col("event_time").max(), n_events=pl.len())
        .drop("session_number")
        .collect(engine="streaming")
    )  # fmt: skip
    sessions.write_parquet(job.result("sessions"))
    is_purchase = pl.col("event_type") == "purchase"
    started = (
        sessions.lazy()
        .group_by("alias_id", event_date=(pl.col("started_at") + local).dt.date())
        .agg(n_sessions=pl.len())
    )
    tiles = (
        events.group_by("alias_id", event_date=(pl.col("event_time") + local).dt.date())
        .agg(
            n_events=pl.len(), n_views=(pl.col("event_type") == "view").sum(), n_purchases=is_purchase.sum(),
            amount_cents=(pl.col("quantity").fill_null(1) * pl.col("price")).filter(is_purchase).sum(),
        )
        .join(started, on=["alias_id", "event_date"], how="left")
        .with_columns(pl.col("n_sessions").fill_null(0))
        .collect(engine="streaming")
    )  # fmt: skip
    tiles.write_parquet(job.result("tiles"))
    sums = (
        tiles.lazy()
        .filter(pl.col("event_date") >= job.window_from)
        .group_by("alias_id")
        .agg(
            pl.col("n_events", "n_views", "n_purchases", "amount_cents", "n_sessions").cast(pl.Int64).sum(),
            n_active_days=pl.len(),
        )
    )
    sums.collect(engine="streaming").write_parquet(job.result("sums"))


if __name__ == "__main__":
    run_peer(compute)
