"""A project that is built in seconds and has rows in every stage: a shop of forty people over eight weeks, and its CRM."""

import datetime as dt
from pathlib import Path

import duckdb

from profile_pipeline.orchestration.running import Runner
from profile_pipeline.paths import Paths
from profile_pipeline.settings_file import load_settings

FIRST, N_DAYS, N_PEOPLE = dt.date(2026, 1, 5), 56, 40
CONFIG = """
calendar: {start: 2026-01-05, end: 2026-03-01}
currency: CNY
stable_seconds: 0
daily_snapshots: 9
sources:
  shop:
    table: events
    path: shop/*.csv
    format: csv
    identical_records: each
    columns: {event_time: ts, event_type: action, user_id: uid, anonymous_id: cookie, item_id: item, price: "regexp_replace(price, '[$]', '')"}
  crm:
    table: users
    path: crm/*.csv
    format: csv
    columns: {user_id: uid, birth_date: "case when born <> '-' then born end", updated_at: changed}
models:
  returns: {task: outcome, active_days: 14, horizon_days: 7, happens: [purchase], min_labels: 10}
  segments: {task: segments, k_max: 3, n_init: 2}
training: {algorithms: [logistic_regression, naive_bayes], backfill_weeks: 2, folds: 2, n_bootstrap: 50}
tags:
  activity: {rules: [{value: often, when: n_active_days_30d >= 12}, {value: seldom, when: n_active_days_30d >= 1}]}
audiences:
  regulars: {where: "activity = 'often'"}
"""
SHOP_COLUMNS = "ts,action,uid,cookie,item,price"
# Of no two runs are these the same, nor do they say anything of anybody.
OF_THE_RUN = {"loaded_at"}


def day(number: int) -> dt.date:
    return FIRST + dt.timedelta(days=number)


def shop_lines(number: int) -> list[str]:
    """What forty people did on a day; every third price has a sign."""
    lines = []
    for u in range(N_PEOPLE):
        if (u * 7 + number * 3) % (2 + u % 5):
            continue
        at = f"{day(number)}T{8 + u % 12:02d}:{(u * number) % 60:02d}"
        uid = f"u{u}" if number % 4 else ""
        lines.append(f"{at}:00Z,page_view,{uid},c{u},i{(u * number) % 9},")
        if (u + number) % 3 == 0:
            price = f"{'$' if (u + number) % 9 == 0 else ''}{3 + u % 7}.50"
            lines.append(f"{at}:30Z,purchase,u{u},c{u},i{(u * number) % 9},{price}")
    # Twice the same line, one of before the calendar, and one that no mapping can read.
    return [
        *lines,
        *lines[:1],
        f"2025-12-{1 + number % 9:02d}T09:00:00Z,page_view,u2,c2,i{number},",
        f"no time,page_view,u1,c1,i1,{number}",
    ]


def land(data: Path, name: str, text: str) -> None:
    path = data / "landing" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def deliver(data: Path, days: range = range(N_DAYS)) -> None:
    """Land a file a day, and once the CRM, a copy under another name and a file that no source claims."""
    for number in days:
        land(data, f"shop/{day(number)}.csv", "\n".join([SHOP_COLUMNS, *shop_lines(number), ""]))
    if 0 in days:
        people = [f"u{u},{'-' if u % 2 else f'19{50 + u}-01-01'},2026-01-02T00:00:00Z" for u in range(N_PEOPLE)]
        land(data, "crm/people.csv", "\n".join(["uid,born,changed", *people, ""]))
        land(data, "crm/the same people.csv", "\n".join(["uid,born,changed", *people, ""]))
        land(data, "notes.txt", "of no source\n")


def runner(data: Path, config: str = CONFIG) -> Runner:
    path = data / "profile.yaml"
    data.mkdir(parents=True, exist_ok=True)
    path.write_text(config, encoding="utf-8")
    return Runner(load_settings(path), Paths(config=path, data=data), lambda _: None)


def build(data: Path, config: str = CONFIG) -> None:
    """What `profile-pipeline run` does."""
    r = runner(data, config)
    try:
        with r.publishing_once():
            r.ingest()
            r.build_all()
    finally:
        r.instance.dispose()


def load_three_days(data: Path, config: str = CONFIG) -> None:
    """Load three days and judge nothing of them."""
    deliver(data, range(3))
    r = runner(data, config)
    r.ingest()
    r.instance.dispose()


def rows(database: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.execute(query).fetchall()


def contents(database: Path, *, but_for: set[str] = OF_THE_RUN) -> dict[str, list[tuple]]:
    """Every row of every table, but for columns that tell of the run."""
    with duckdb.connect(str(database), read_only=True) as connection:
        tables = connection.execute(
            "select schema_name || '.' || table_name, list(column_name order by column_index) from duckdb_columns() where not internal group by all order by all"
        ).fetchall()
        found = {}
        for table, columns in tables:
            names = ", ".join(f'"{c}"' for c in columns if c not in but_for)
            found[table] = connection.execute(f"select {names} from {table} order by all").fetchall()
        return found


def assert_equal(found: dict[str, list[tuple]], expected: dict[str, list[tuple]]) -> None:
    assert found.keys() == expected.keys()
    for table, wanted in expected.items():
        assert found[table] == wanted, f"{table} differs"
