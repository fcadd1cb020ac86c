"""Dismissed records: they stay out, also where their file was refused as a whole between two readings."""

import datetime as dt
from contextlib import closing
from pathlib import Path

import pytest

from profile_pipeline.orchestration.keeping.rebuilding import rebuild
from profile_pipeline.orchestration.keeping.recovering import Selection, dismiss
from profile_pipeline_tests.orchestration.test_recovering import (
    GOOD,
    RIGHT,
    build,
    command,
    load_refused,
    rows,
    runner,
)

# A column that is missing, so that files are refused as a whole; and one time that is mended.
REFUSED = RIGHT.replace("item_id: item", "item_id: article")
TIMES_MENDED = RIGHT.replace("event_time: ts", "event_time: \"replace(ts, 'at ', '')\"")


def test_what_was_dismissed_stays_out_where_its_file_was_refused_as_a_whole_meanwhile(tmp_path: Path) -> None:
    data = tmp_path / "data"
    lines = [f"at {GOOD}", f"at {GOOD.replace('u0', 'u1')}"]
    load_refused(data, RIGHT, lines)
    r = runner(data, RIGHT)
    with closing(r.warehouse()) as w:
        assert dismiss(w, Selection(), now=dt.datetime(2026, 11, 27)) == 2
    r.instance.dispose()
    for _ in range(2):
        load_refused(data, REFUSED, lines)
        assert rows(data, "select status, n_records, n_rejected from raw.files") == [("rejected", 0, 0)]
        assert rows(data, "select count(*) from raw.rejected_records") == [(0,)]
    load_refused(data, TIMES_MENDED, lines)
    assert rows(data, "select status, n_records, n_loaded, n_rejected from raw.files") == [("loaded", 2, 0, 2)]
    told = "select row_number, dismissed_at from raw.rejected_records order by 1"
    assert rows(data, told) == [(n, dt.datetime(2026, 11, 27)) for n in (1, 2)]
    assert rows(data, "select count(*) from raw.dismissed_before") == [(0,)]


@pytest.mark.faults
def test_what_was_dismissed_stays_out_where_a_rebuild_has_refused_its_file_as_a_whole(tmp_path: Path) -> None:
    data = tmp_path / "data"
    load_refused(data, RIGHT, [GOOD, f"at {GOOD}"])
    (data / "landing" / "crm").mkdir(parents=True)
    (data / "landing" / "crm" / "people.csv").write_text(
        "uid,born,changed\nu0,-,2026-02-20T00:00:00Z\n", encoding="utf-8"
    )
    build(data, RIGHT)
    assert command(data, "dismiss", "--source", "shop").returncode == 0
    for config, loaded in ((REFUSED, []), (TIMES_MENDED, [(1,)])):
        r = runner(data, config)
        rebuild(r.settings, r.paths, sources=["shop"], say=lambda _: None)
        assert rows(data, "select row_number from raw.events") == loaded
    assert rows(data, "select row_number from raw.rejected_records where dismissed_at is not null") == [(2,)]
    assert rows(data, "select n_records, n_loaded, n_rejected from raw.files where source = 'shop'") == [(2, 1, 1)]
