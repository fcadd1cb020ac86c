"""The reference job in pandas, as one would write it well: Arrow strings, categories, no loop over rows.

Not here: what the job is (`reference`).
"""

import pandas as pd

from benchmarks.peers.reference import GAP_MINUTES, UTC_OFFSET_HOURS, Job, run_peer

COLUMNS = [
    "event_id", "event_time", "received_at", "row_number", "event_type", "quantity", "price", "user_id", "anonymous_id", "device_id",
]  # fmt: skip


def compute(job: Job) -> None:
    raw = pd.read_parquet(job.raw, columns=COLUMNS, dtype_backend="pyarrow")
    is_valid = (
        (raw["event_time"] >= job.starts_at)
        & (raw["event_time"] < job.ends_at)
        & (raw["price"].fillna(0) >= 0)
        & (raw["quantity"].fillna(0) >= 0)
        & (raw["user_id"].notna() | raw["anonymous_id"].notna() | raw["device_id"].notna())
    )
    events = raw[is_valid]
    del raw
    alias = (
        ("user:" + events["user_id"])
        .fillna("anonymous:" + events["anonymous_id"])
        .fillna("device:" + events["device_id"])
    )
    events = events.drop(columns=["user_id", "anonymous_id", "device_id"]).assign(alias_id=alias)
    is_repeated = events["event_id"].duplicated(keep=False)
    repeated = events[is_repeated].sort_values(["received_at", "event_time", "row_number"])
    losers = repeated.index[repeated["event_id"].duplicated(keep="first")]
    events = events.drop(index=losers).drop(columns=["received_at", "row_number"])
    events = events.sort_values(["alias_id", "event_time", "event_id"], ignore_index=True).drop(columns="event_id")
    codes = events["alias_id"].astype("category").cat.codes.to_numpy()
    times = events["event_time"].astype("datetime64[us]")
    is_start = (pd.Series(codes).diff() != 0) | (times.diff() > pd.Timedelta(minutes=GAP_MINUTES))
    events = events.assign(event_time=times, code=codes, session_number=is_start.cumsum())
    sessions = events.groupby("session_number").agg(
        alias_id=("alias_id", "first"), started_at=("event_time", "min"), ended_at=("event_time", "max"), n_events=("code", "size")
    )  # fmt: skip
    sessions.to_parquet(job.result("sessions"), index=False)
    offset = pd.Timedelta(hours=UTC_OFFSET_HOURS)
    is_purchase = (events["event_type"] == "purchase").to_numpy(dtype=bool, na_value=False)
    amounts = (events["quantity"].fillna(1) * events["price"]).fillna(0).astype("int64").to_numpy()
    events = pd.DataFrame({
        "alias_id": events["alias_id"], "event_date": (events["event_time"] + offset).dt.floor("D"), "n_events": 1,
        "n_views": (events["event_type"] == "view").to_numpy(dtype="int64", na_value=0), "n_purchases": is_purchase.astype("int64"),
        "amount_cents": amounts * is_purchase,
    })  # fmt: skip
    tiles = events.groupby(["alias_id", "event_date"], as_index=False, sort=False, observed=True).sum()
    starts = sessions.assign(event_date=(sessions["started_at"] + offset).dt.floor("D"))
    n_sessions = starts.groupby(["alias_id", "event_date"], as_index=False, sort=False, observed=True).size()
    tiles = tiles.merge(n_sessions.rename(columns={"size": "n_sessions"}), how="left", on=["alias_id", "event_date"])
    tiles["n_sessions"] = tiles["n_sessions"].fillna(0).astype("int64")
    tiles.to_parquet(job.result("tiles"), index=False)
    recent = (
        tiles[tiles["event_date"] >= pd.Timestamp(job.window_from)].assign(n_active_days=1).drop(columns="event_date")
    )
    recent.groupby("alias_id", as_index=False, sort=False, observed=True).sum().to_parquet(
        job.result("sums"), index=False
    )


if __name__ == "__main__":
    run_peer(compute)
