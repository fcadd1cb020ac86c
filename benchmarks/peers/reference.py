"""The reference job, in words: what every engine computes from the same Parquet file, and where it puts it.

    raw Parquet -> valid, deduplicated events -> sessions -> tiles -> sums of 30 days

- valid: `event_time` lies in the calendar, an alias is known, price and quantity are not negative
- deduplicated: of the rows of one `event_id` the least (received_at, event_time, row_number) stays, among the valid ones
- sessions: the events of an alias by (event_time, event_id); a gap of more than 30 minutes begins a new one
- tiles: an alias and a local date (UTC+8): n_events, n_views, n_purchases, amount_cents (quantity x price of purchases, both
  whole numbers in the file), n_sessions (those that begin on the date)
- sums: an alias with a tile in the last 30 days: the sums of its tiles in them and n_active_days

Here are the names that all peers share. Not here: an engine.
"""

import argparse
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Measurement

RESULTS = ("sessions", "tiles", "sums")
UTC_OFFSET_HOURS, GAP_MINUTES, WINDOW_DAYS = 8, 30, 30


@dataclass(frozen=True)
class Job:
    """Where the raw events are, where the results go, and which local days count (both included)."""

    raw: Path
    out: Path
    first_day: dt.date
    last_day: dt.date

    @property
    def starts_at(self) -> dt.datetime:
        return dt.datetime.combine(self.first_day, dt.time()) - dt.timedelta(hours=UTC_OFFSET_HOURS)

    @property
    def ends_at(self) -> dt.datetime:
        return dt.datetime.combine(self.last_day, dt.time()) + dt.timedelta(days=1, hours=-UTC_OFFSET_HOURS)

    @property
    def window_from(self) -> dt.date:
        return self.last_day - dt.timedelta(days=WINDOW_DAYS - 1)

    def result(self, name: str) -> Path:
        return self.out / f"{name}.parquet"


def run_peer(compute: Callable[[Job], None], *, peak_mb: Callable[[], float] | None = None) -> None:
    """Run an engine's job from the command line: RAW OUT FIRST LAST."""
    parser = argparse.ArgumentParser()
    parser.add_argument("raw", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("first_day", type=dt.date.fromisoformat)
    parser.add_argument("last_day", type=dt.date.fromisoformat)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    measured = Measurement()
    with measured.work():
        compute(Job(given.raw, given.out, given.first_day, given.last_day))
    if peak_mb is not None:
        measured.more["peak_mb"] = peak_mb()
    measured.tell()
