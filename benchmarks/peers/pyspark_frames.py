"""The reference job in PySpark, local, on as many threads as there are cores. Its memory is that of the JVM.

Not here: what the job is (`reference`).
"""

import os
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as f

from benchmarks.peers.reference import GAP_MINUTES, RESULTS, UTC_OFFSET_HOURS, Job, run_peer


def session() -> SparkSession:
    """Start a local session with the settings that a small machine asks for."""
    n_cores = len(os.sched_getaffinity(0))
    return (
        SparkSession.builder.master(f"local[{n_cores}]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "6g")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", str(4 * n_cores))
        .config("spark.sql.parquet.inferTimestampNTZ.enabled", "true")
        .getOrCreate()
    )


def compute(job: Job) -> None:
    spark = session()
    spark.sparkContext.setLogLevel("ERROR")
    raw = spark.read.parquet(str(job.raw))
    valid = raw.where(
        (f.col("event_time") >= f.lit(job.starts_at))
        & (f.col("event_time") < f.lit(job.ends_at))
        & (f.coalesce("price", f.lit(0)) >= 0)
        & (f.coalesce("quantity", f.lit(0)) >= 0)
    ).select(
        "event_id", "event_time", "received_at", "row_number", "event_type", "quantity", "price",
        f.coalesce(
            f.concat(f.lit("user:"), "user_id"), f.concat(f.lit("anonymous:"), "anonymous_id"), f.concat(f.lit("device:"), "device_id")
        ).alias("alias_id"),
    ).where("alias_id is not null")  # fmt: skip
    by_id = Window.partitionBy("event_id").orderBy("received_at", "event_time", "row_number")
    events = (
        valid.withColumn("copy", f.row_number().over(by_id)).where("copy = 1").drop("copy", "received_at", "row_number")
    )
    by_alias = Window.partitionBy("alias_id").orderBy("event_time", "event_id")
    gap = f.expr(f"interval {GAP_MINUTES} minutes")
    is_start = f.when(f.col("event_time") <= f.lag("event_time").over(by_alias) + gap, 0).otherwise(1)
    numbered = events.withColumn("is_start", is_start).withColumn(
        "session_number", f.sum("is_start").over(by_alias.rowsBetween(Window.unboundedPreceding, Window.currentRow))
    )
    numbered = numbered.cache()
    sessions = numbered.groupBy("alias_id", "session_number").agg(
        f.min("event_time").alias("started_at"), f.max("event_time").alias("ended_at"), f.count("*").alias("n_events")
    ).drop("session_number").cache()  # fmt: skip
    tiles = _tiles(numbered, sessions).cache()
    sums = tiles.where(f.col("event_date") >= f.lit(job.window_from)).groupBy("alias_id").agg(
        *(f.sum(name).alias(name) for name in ("n_events", "n_views", "n_purchases", "amount_cents", "n_sessions")),
        f.count("*").alias("n_active_days"),
    )  # fmt: skip
    for name, frame in zip(RESULTS, (sessions, tiles, sums), strict=True):
        frame.write.mode("overwrite").parquet(str(job.result(name)))
    global _peak_mb
    _peak_mb = _jvm_peak_mb(spark)
    spark.stop()
    # The JVM's seconds count once it has ended and was waited for.
    gateway = spark.sparkContext._gateway
    if gateway is not None:
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait()


def _tiles(events: DataFrame, sessions: DataFrame) -> DataFrame:
    local = f.expr(f"interval {UTC_OFFSET_HOURS} hours")
    is_purchase = f.col("event_type") == "purchase"
    amount = f.when(is_purchase, f.coalesce("quantity", f.lit(1)) * f.col("price"))
    counted = events.groupBy("alias_id", f.to_date(f.col("event_time") + local).alias("event_date")).agg(
        f.count("*").alias("n_events"), f.count_if(f.col("event_type") == "view").alias("n_views"), f.count_if(is_purchase).alias("n_purchases"),
        f.coalesce(f.sum(amount), f.lit(0)).alias("amount_cents"),
    )  # fmt: skip
    started = sessions.groupBy("alias_id", f.to_date(f.col("started_at") + local).alias("event_date")).agg(
        f.count("*").alias("n_sessions")
    )
    return counted.join(started, ["alias_id", "event_date"], "left").fillna(0, ["n_sessions"])


_peak_mb = 0.0


def _jvm_peak_mb(spark: SparkSession) -> float:
    pid = spark.sparkContext._jvm.java.lang.ProcessHandle.current().pid()
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    run_peer(compute, peak_mb=lambda: _peak_mb)
