"""What is built follows what changes: profiles their features, metrics their sessions, days a calendar, snapshots their settings.

Not here: what changes because a record came late, was displaced or recovered (`test_laws`, `faults`).
"""

import datetime as dt
from pathlib import Path

import duckdb
import pytest

from profile_pipeline.orchestration.building.days import REFRESH_TAG, last_day_of
from profile_pipeline.orchestration.jobs import DAILY
from profile_pipeline.orchestration.keeping.behind import has_new_versions, is_outscored
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.orchestration.steps import FEATURE_STAGES, RunFailedError
from profile_pipeline.orchestration.verifying.verify import verify
from profile_pipeline.paths import Paths
from profile_pipeline.settings_file import load_settings
from profile_pipeline_tests.orchestration import small_project

CONFIG = """
calendar: {start: 2026-02-23, end: 2026-03-03}
stable_seconds: 0
restate_days: 0
sources:
  shop:
    table: events
    path: shop/*.csv
    format: csv
    columns: {event_id: id, event_time: ts, event_type: action, user_id: uid, item_id: item, category: item}
"""
FIRST, LAST, WEEK_END = dt.date(2026, 2, 23), dt.date(2026, 3, 3), dt.date(2026, 3, 1)
COLUMNS = "id,ts,action,uid,item"


def lines_of(day: dt.date) -> list[str]:
    """A dozen people, so that one record more is few."""
    return [f"{day}_{u},{day}T{8 + u:02d}:00:00Z,page_view,u{u},i{u % 5}" for u in range(12)]


def land(data: Path, name: str, lines: list[str]) -> None:
    folder = data / "landing" / "shop"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join([COLUMNS, *lines, ""]), encoding="utf-8")


def runner(data: Path, config: str = CONFIG) -> Runner:
    path = data / "profile.yaml"
    path.write_text(config, encoding="utf-8")
    return Runner(load_settings(path), Paths(config=path, data=data), lambda _: None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Every day of the calendar, landed."""
    for n in range((LAST - FIRST).days + 1):
        day = FIRST + dt.timedelta(days=n)
        land(tmp_path, f"{day}.csv", lines_of(day))
    return tmp_path


def built(data: Path, config: str = CONFIG, *, first: dt.date | None = None) -> Runner:
    """Ingest and build: all that waits, or every day from one on."""
    r = runner(data, config)
    r.ingest()
    if first:
        r.build_range(first, LAST)
    else:
        r.build_all()
    return r


def rows(data: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(data / "profile.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def seen_of(data: Path, day: dt.date, user: str = "u1") -> dict[str, int]:
    """How many events two tables say somebody has by a day."""
    person = f"(select profile_id from cleaned.identities where alias_id = 'user:{user}')"
    where = f"where profile_id = {person} and as_of_date = date '{day}'"
    return {
        table: rows(data, f"select n_events_30d from {table} {where}")[0][0]
        for table in ("features.behavior", "profiles.user_profiles")
    }


def late(day: dt.date, time: str = "23:00", action: str = "page_view", user: str = "u1") -> str:
    return f"late_{day}_{time},{day}T{time}:00Z,{action},{user},i1"


def test_profiles_follow_when_the_file_of_an_older_day_comes_again_with_a_record_more(data: Path) -> None:
    """Most of such a file is there already: its day is judged whole, and the snapshots that are kept are built with it."""
    built(data).instance.dispose()
    before = seen_of(data, WEEK_END)
    land(data, f"{WEEK_END}.csv", [*lines_of(WEEK_END), late(WEEK_END)])
    built(data).instance.dispose()
    assert seen_of(data, WEEK_END) == {table: n + 1 for table, n in before.items()}


@pytest.mark.parametrize("by", ["run", "refresh"])
def test_profiles_follow_features_that_a_killed_run_of_an_older_day_has_built(data: Path, by: str) -> None:
    built(data, first=FIRST).instance.dispose()
    before = seen_of(data, WEEK_END)
    land(data, "late.csv", [late(WEEK_END)])
    r = runner(data)
    r.ingest()
    # What `run --from --to` does before it builds profiles.
    r.build_features(WEEK_END, WEEK_END)
    with r.look() as warehouse:
        verdict = verify(warehouse, r.settings, n_people=20, has_new_versions=False, days=[WEEK_END])
    assert verdict.differences == []
    assert [
        told
        for told in verdict.behind
        if told.startswith(f"profiles of 1 day have not followed their features: {WEEK_END}: ")
    ]
    if by == "run":
        r.build_all()
    else:
        r.execute(DAILY, first=LAST, last=LAST, groups=(*FEATURE_STAGES, "profiles"), tags={REFRESH_TAG: "true"})
    r.instance.dispose()
    assert seen_of(data, WEEK_END) == {table: n + 1 for table, n in before.items()}


def test_applications_of_the_newest_day_follow_profiles_that_a_killed_run_has_built(data: Path) -> None:
    audience = f"{CONFIG}tags: {{busy: {{rules: [{{value: often, when: n_events_30d >= 10}}]}}}}\naudiences: {{busy: {{where: busy = 'often'}}}}\n"
    built(data, audience).instance.dispose()
    members = "select count(*) from applications.audiences"
    assert rows(data, members) == [(0,)]
    land(data, "late.csv", [late(LAST, f"23:0{n}") for n in range(2)])
    r = runner(data, audience)
    r.ingest()
    r.build_features(LAST, LAST)
    r.follow_profiles([LAST])
    with r.look() as warehouse:
        verdict = verify(warehouse, r.settings, n_people=20, has_new_versions=False, days=[LAST])
    assert verdict.differences == []
    assert (
        f"applications of {LAST} have not followed their features, tags or settings: profile-pipeline run"
        in verdict.behind
    )
    r.build_all()
    r.instance.dispose()
    assert rows(data, members) == [(1,)]


BUSY = "tags: {busy: {description: or not, rules: [{value: often, when: n_events_30d >= 10}]}}\naudiences: {busy: {where: busy = 'often'}}\n"
OFTEN = "select as_of_date, count(*) from profiles.tags group by all order by 1"
MEMBERS = "select as_of_date, count(*) from applications.audiences group by all order by 1"


@pytest.mark.parametrize("is_killed", [False, True])
def test_tags_of_the_newest_day_and_what_is_made_of_them_follow_other_rules_and_past_days_stay(
    data: Path, is_killed: bool
) -> None:
    built(data, CONFIG + BUSY, first=WEEK_END).instance.dispose()
    assert rows(data, OFTEN) == []
    r = runner(data, CONFIG + BUSY.replace(">= 10", ">= 2"))
    if is_killed:
        r.execute(DAILY, first=LAST, last=LAST, assets=["profiles.tags"])
        assert rows(data, MEMBERS) == []
    with r.look() as warehouse:
        waiting = verify(warehouse, r.settings, n_people=20, has_new_versions=False, days=[WEEK_END, LAST])
    assert waiting.differences == []
    assert (
        f"applications of {LAST} have not followed their features, tags or settings: profile-pipeline run"
        in waiting.behind
    )
    r.build_all()
    assert rows(data, OFTEN) == rows(data, MEMBERS) == [(LAST, 12)]
    with r.look() as warehouse:
        verdict = verify(warehouse, r.settings, n_people=20, has_new_versions=False, days=[WEEK_END, LAST])
    assert verdict.differences == []
    assert [told.partition(":")[0] for told in verdict.behind] == ["tags of 2 days were made by other settings of tags"]
    n_runs = r.instance.get_runs_count()
    r.build_all()
    assert r.instance.get_runs_count() == n_runs
    r.build_range(WEEK_END, LAST)
    with r.look() as warehouse:
        verdict = verify(warehouse, r.settings, n_people=20, has_new_versions=False, days=[WEEK_END, LAST])
    assert (verdict.differences, verdict.behind) == ([], [])
    r.instance.dispose()
    assert [n for _, n in rows(data, OFTEN)] == [12, 12, 12]


def test_other_rules_of_tags_are_followed_on_the_newest_day_also_after_past_days_were_built_with_them(
    data: Path,
) -> None:
    built(data, CONFIG + BUSY, first=WEEK_END).instance.dispose()
    other = CONFIG + BUSY.replace(">= 10", ">= 2")
    r = runner(data, other)
    r.build_range(WEEK_END, WEEK_END)
    assert rows(data, OFTEN) == [(WEEK_END, 12)]
    r.build_all()
    assert rows(data, OFTEN) == [(WEEK_END, 12), (LAST, 12)]
    assert rows(data, MEMBERS) == [(WEEK_END, 12), (LAST, 12)]
    r.instance.dispose()
    r = runner(data, other.replace("or not", "or seldom"))
    n_runs = r.instance.get_runs_count()
    r.build_all()
    assert r.instance.get_runs_count() == n_runs
    r.instance.dispose()


@pytest.mark.parametrize(
    ("before", "after", "table", "found"),
    [
        ("busy = 'often'", "busy = 'seldom'", "audiences", [(12,), (12,)]),
        ("audiences: {busy: {where: busy = 'often'}}", "audiences: {}", "audiences", [(12,), (12,)]),
        ("per_person: 1", "per_person: 2", "recommendations", [(12,), (12,), (24,)]),
    ],
)
def test_what_is_delivered_on_the_newest_day_follows_other_settings_of_it(
    data: Path, before: str, after: str, table: str, found: list[tuple]
) -> None:
    first = CONFIG + BUSY.replace(">= 10", ">= 2") + "recommendations: {per_person: 1}\n"
    built(data, first, first=WEEK_END).instance.dispose()
    per_day = f"select count(*) from applications.{table} group by as_of_date order by as_of_date"
    assert rows(data, per_day) == [(12,), (12,), (12,)]
    r = runner(data, first.replace(before, after))
    with r.look() as warehouse:
        waiting = verify(warehouse, r.settings, n_people=20, has_new_versions=False, days=[LAST])
    assert waiting.differences == []
    assert (
        f"applications of {LAST} have not followed their features, tags or settings: profile-pipeline run"
        in waiting.behind
    )
    r.build_all()
    with r.look() as warehouse:
        verdict = verify(warehouse, r.settings, n_people=20, has_new_versions=False, days=[LAST])
    assert (verdict.differences, verdict.behind) == ([], [])
    n_runs = r.instance.get_runs_count()
    r.build_all()
    assert r.instance.get_runs_count() == n_runs
    r.instance.dispose()
    assert rows(data, per_day) == found


def test_a_dictionary_that_a_killed_run_did_not_reach_is_written_by_the_next(data: Path) -> None:
    built(data).instance.dispose()
    page = data / "reports" / "dictionary.html"
    page.unlink()
    land(data, "late.csv", [late(LAST)])
    r = runner(data)
    r.ingest()
    r.build_features(LAST, LAST)
    applications = [f"applications.{name}" for name in ("recommendations", "audiences", "insights", "daily_metrics")]
    r.execute(
        DAILY,
        first=LAST,
        last=LAST,
        assets=["profiles.scores", "profiles.user_profiles", "profiles.tags", *applications],
    )
    assert not page.exists()
    r.build_all()
    r.instance.dispose()
    assert page.exists()
    assert rows(data, "select consumer from cleaned.touched where starts_with(consumer, 'older:')") == []


METRICS = "select event_date, n_sessions, conversion from applications.daily_metrics where segment = 'all' order by 1"


@pytest.mark.parametrize(
    "more",
    [
        [late(WEEK_END, "23:55", user="x")],
        [late(WEEK_END, "23:55", user="x"), late(WEEK_END + dt.timedelta(days=1), "00:20", "purchase", "x")],
    ],
    ids=["a session that now begins the day before", "a session of the day before that now converts"],
)
def test_daily_metrics_follow_sessions_over_midnight(data: Path, tmp_path_factory: pytest.TempPathFactory, more: list[str]) -> None:  # fmt: skip
    at_once = tmp_path_factory.mktemp("at once")
    next_morning = WEEK_END + dt.timedelta(days=1)
    land(data, f"{next_morning}.csv", [*lines_of(next_morning), late(next_morning, "00:10", user="x")])
    (at_once / "landing" / "shop").mkdir(parents=True)
    for path in (data / "landing" / "shop").iterdir():
        (at_once / "landing" / "shop" / path.name).write_bytes(path.read_bytes())
    land(at_once, "late.csv", more)
    built(at_once, first=FIRST).instance.dispose()
    built(data, first=FIRST).instance.dispose()
    for number, line in enumerate(more):
        land(data, f"late_{number}.csv", [line])
        built(data).instance.dispose()
    assert rows(data, METRICS) == rows(at_once, METRICS)


def test_days_that_a_later_end_of_the_calendar_reaches_count(data: Path) -> None:
    shorter = CONFIG.replace(f"end: {LAST}", "end: 2026-02-25")
    built(data, shorter).instance.dispose()
    days = "select distinct event_date from cleaned.events order by 1 desc"
    assert rows(data, days)[0] == (dt.date(2026, 2, 25),)
    built(data).instance.dispose()
    assert rows(data, days)[0] == (LAST,)
    assert rows(data, "select count(*) from cleaned.events") == [(12 * 9,)]
    assert rows(data, "select count(*) from cleaned.excluded_events") == [(0,)]


def test_a_calendar_that_ends_before_events_that_count_is_refused(data: Path) -> None:
    built(data).instance.dispose()
    r = runner(data, CONFIG.replace(f"end: {LAST}", f"end: {WEEK_END}"))
    with pytest.raises(
        RunFailedError, match=f"calendar.end: found {WEEK_END}, the tables were built with events up to {LAST}"
    ):
        r.build_range(FIRST, FIRST)
    r.instance.dispose()


def test_snapshots_of_other_settings_of_features_are_outdated(data: Path) -> None:
    built(data, first=FIRST).instance.dispose()
    scores = (
        f"select score from features.interests where as_of_date = date '{WEEK_END}' order by profile_id, kind, rank"
    )
    before = rows(data, scores)
    changed = f"{CONFIG}features: {{interest_half_life_days: 2}}\n"
    built(data, changed).instance.dispose()
    assert (WEEK_END, "settings of features changed") in rows(
        data, "select as_of_date, reason from features.stale_days"
    )
    r = runner(data, changed)
    assert r.rebuild_stale() > 0
    r.instance.dispose()
    assert rows(data, scores) != before
    assert rows(data, "select count(*) from features.stale_days") == [(0,)]


def test_versions_follow_where_newer_records_say_everything_from_now_on(data: Path) -> None:
    people = f"{CONFIG}  crm: {{table: users, path: crm/*.csv, format: csv, columns: {{user_id: uid, city: city, gender: g, updated_at: at}}}}\n"
    full = people.replace("table: users,", "table: users, full_records: true,")
    (data / "landing" / "crm").mkdir(parents=True)
    told = f"uid,city,g,at\nu1,Rome,f,{FIRST}T10:00:00Z\nu1,,m,{WEEK_END}T10:00:00Z\n"
    (data / "landing" / "crm" / "1.csv").write_text(told, encoding="utf-8")
    built(data, people).instance.dispose()
    cities = "select city from cleaned.users order by valid_from"
    assert rows(data, cities) == [("Rome",), ("Rome",)]
    r = runner(data, full)
    with r.look() as warehouse:
        new = has_new_versions(warehouse, r.instance, r.settings)
        assert new
        assert verify(warehouse, r.settings, n_people=20, has_new_versions=new).differences == []
    r.build_all()
    with r.look() as warehouse:
        assert not has_new_versions(warehouse, r.instance, r.settings)
        assert verify(warehouse, r.settings, n_people=20, has_new_versions=False).differences == []
    r.instance.dispose()
    assert rows(data, cities) == [("Rome",), (None,)]
    person = "(select profile_id from cleaned.identities where alias_id = 'user:u1')"
    newest = f"select city from profiles.user_profiles where as_of_date = date '{LAST}' and profile_id = {person}"
    assert rows(data, newest) == [(None,)]
    assert (WEEK_END,) in rows(data, "select as_of_date from features.stale_days")
    built(data, people).instance.dispose()
    assert rows(data, cities) == [("Rome",), ("Rome",)]


def test_metrics_that_have_not_followed_are_told(data: Path) -> None:
    built(data, first=FIRST).instance.dispose()
    land(data, "late.csv", [late(WEEK_END)])
    r = runner(data)
    r.ingest()
    r.build_features(LAST, LAST)
    with r.look() as warehouse:
        verdict = verify(warehouse, r.settings, n_people=1, has_new_versions=False)
    r.instance.dispose()
    assert f"daily metrics of 2 days have not followed: {WEEK_END}, {LAST}: profile-pipeline run" in verdict.behind


def test_daily_metrics_by_segment_follow_an_older_day_that_is_scored_after_newer_ones(tmp_path: Path) -> None:
    metrics = "select * from applications.daily_metrics order by all"
    by_segment = "select distinct event_date from applications.daily_metrics where segment <> 'all' order by 1"
    small_project.deliver(tmp_path)
    small_project.build(tmp_path)
    assert rows(tmp_path, by_segment) == []
    r = small_project.runner(tmp_path)
    r.build_range(dt.date(2026, 2, 24), dt.date(2026, 2, 25))
    followed = rows(tmp_path, metrics)
    r.build_metrics(r.days[0], r.days[-1])
    r.instance.dispose()
    assert rows(tmp_path, by_segment) == [(dt.date(2026, 2, d),) for d in (25, 26, 27, 28)] + [(dt.date(2026, 3, 1),)]
    assert followed == rows(tmp_path, metrics)


def test_a_run_scores_again_what_verify_calls_scored_before_the_models_that_may_serve_it_were_judged(
    tmp_path: Path,
) -> None:
    last = small_project.day(small_project.N_DAYS - 1)
    small_project.deliver(tmp_path)
    small_project.build(tmp_path)
    r = small_project.runner(tmp_path)
    older = r.weeks[-3]
    r.build_range(older, last_day_of(older))
    assert is_outscored(r.instance, last)
    r.build_all()
    assert not is_outscored(r.instance, last)
    r.instance.dispose()


def test_segments_of_a_week_that_is_trained_again_keep_their_names_although_an_older_week_was_trained_meanwhile(
    tmp_path: Path,
) -> None:
    members = "select * from models.segment_members where week >= date '2026-02-16' order by all"
    small_project.deliver(tmp_path)
    small_project.build(tmp_path)
    before = rows(tmp_path, members)
    r = small_project.runner(tmp_path)
    older = r.weeks[-4]
    r.build_range(older, last_day_of(older))
    r.train(r.weeks[-2:])
    r.instance.dispose()
    assert rows(tmp_path, members) == before
