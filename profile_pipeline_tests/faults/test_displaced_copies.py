"""A newcomer that displaces a judged record of another day: killed on the way, or with more of that day waiting.

Here are the two ways to lose sight of the displaced one. Not here: deliveries at random (`test_delivery`).
"""

import contextlib
import datetime as dt
from collections.abc import Iterator

import pytest

from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline_tests.faults.deliveries import FIRST, LAST, Line, Part, Record, line, write_part

pytestmark = pytest.mark.faults
JUDGED, NEW = dt.date(2026, 1, 10), LAST - dt.timedelta(days=1)


class Killed(Exception):
    """Stands for the end of a process."""


def seen(event_id: str, day: dt.date, hour: int, *, received: dt.date) -> Record:
    at = f"{day}T{hour:02d}:00:00Z"
    return Record("web", f"{event_id},{at},{received}T12:00:00Z,page_view,c1,,,i1,a,1,,CNY,,,Mozilla")


def places(told: Line) -> dict[str, list[str]]:
    """Where the records of each id are, in the order of their days."""
    found: dict[str, list[str]] = {}
    for event_id, place in told.warehouse.rows(
        "with placed as (select file_id, row_number, 'counts' as place from cleaned.events"
        " union all select file_id, row_number, reason_code from cleaned.excluded_events)"
        " select event_id, coalesce(place, 'waits') from raw.events left join placed using (file_id, row_number) order by event_date, event_time"
    ):
        found.setdefault(event_id, []).append(place)
    return found


@pytest.fixture
def judged() -> Iterator[Line]:
    """A line with two judged records, and an earlier copy of one of them that waits on another day."""
    with line() as told:
        records = [seen(event_id, JUDGED, hour, received=NEW) for hour, event_id in enumerate(("e0", "e1"))]
        write_part(told.paths.landing, 0, Part(0, tuple(records)))
        told.ingest()
        told.refresh(first=FIRST)
        write_part(told.paths.landing, 1, Part(0, (seen("e1", NEW, 3, received=NEW - dt.timedelta(days=1)),)))
        told.ingest()
        yield told


@pytest.mark.parametrize("commit", [1, 2])
def test_killed_after_a_commit_of_judging_the_displaced_record_is_still_found(
    judged: Line, monkeypatch: pytest.MonkeyPatch, commit: int
) -> None:
    begin, left = Warehouse.transaction, [commit]

    @contextlib.contextmanager
    def counted(warehouse: Warehouse) -> Iterator[None]:
        with begin(warehouse):
            yield
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    monkeypatch.setattr(Warehouse, "transaction", counted)
    with pytest.raises(Killed):
        judged.refresh(steps=["judged_events"])
    monkeypatch.undo()
    judged.refresh()
    assert places(judged) == {"e0": ["counts"], "e1": ["duplicate", "counts"]}


def test_a_run_of_some_days_displaces_a_record_of_a_day_on_which_more_waits_and_lets_that_wait(judged: Line) -> None:
    write_part(judged.paths.landing, 2, Part(0, (seen("e2", JUDGED, 5, received=NEW),)))
    judged.ingest()
    judged.judge(NEW, NEW)
    assert places(judged) == {"e0": ["counts"], "e1": ["duplicate", "counts"], "e2": ["waits"]}
    judged.refresh()
    assert places(judged) == {"e0": ["counts"], "e1": ["duplicate", "counts"], "e2": ["counts"]}
