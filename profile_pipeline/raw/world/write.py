"""The world as files: what a company would find in its landing folders, and apart from it the truth.

Here is the order of work and the writing; who lives there is `people`, what they do `days`, how it reads `lines`. Not here:
any draw.
"""

import csv
import datetime as dt
import gzip
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from profile_pipeline.errors import ExpectedError
from profile_pipeline.raw.world.days import intensity_sql, make_days, prepare
from profile_pipeline.raw.world.lines import BAD_BYTES, WEB_HEADER, forget_days, lines_by_day
from profile_pipeline.raw.world.people import make_catalogue, make_people, open_world

LAST_DAY = dt.date(2026, 3, 30)
N_NOISE_COLUMNS = 20
LEAST_USERS, LEAST_DAYS = 20, 15
HORIZON_DAYS = 14
PERSON_DAYS_AT_ONCE, MOST_DAYS_AT_ONCE = 42_000, 14


class WorldError(ExpectedError):
    """The world asked for can't be made."""


@dataclass(frozen=True)
class WorldSummary:
    """What was written."""

    n_users: int
    n_days: int
    first_day: dt.date
    last_day: dt.date
    n_event_lines: int
    n_files: int
    size_bytes: int


class _Folder:
    """Writes files under a folder, byte for byte the same each time, each at once complete under its name."""

    def __init__(self, root: Path) -> None:
        self.root, self.n_files, self.size_bytes = root, 0, 0

    def write(self, name: str, data: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.tmp")
        temporary.write_bytes(gzip.compress(data, compresslevel=1, mtime=0) if name.endswith(".gz") else data)
        temporary.replace(path)
        self.n_files += 1
        self.size_bytes += path.stat().st_size

    def write_csv(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([["" if value is None else value for value in row] for row in rows])
        self.write(name, text.getvalue().encode())


def write_world(
    out: Path,
    *,
    n_users: int,
    n_days: int,
    seed: int,
    truth: Path | None = None,
    last_day: dt.date = LAST_DAY,
    say: Callable[[str], None],
    days_at_once: int | None = None,
) -> WorldSummary:
    """Write a world under `out/landing` and its truth under `truth` (default `out/truth`).

    Parameters
    ----------
    n_users, n_days
        People, and days that end with `last_day`.
    seed
        The same seed gives the same bytes.
    days_at_once
        Days that are drawn together; of no consequence but for time and memory. Default: by the number of people.

    Raises
    ------
    WorldError
        If there are too few people or days for a world that can be learned from.
    """
    if n_users < LEAST_USERS or n_days < LEAST_DAYS:
        raise WorldError(
            f"found {n_users} people and {n_days} days, expected at least {LEAST_USERS} people and {LEAST_DAYS} days"
        )
    first_day = last_day - dt.timedelta(days=n_days - 1)
    landing = _Folder(out / "landing")
    connection = open_world(seed)
    try:
        make_people(connection, n_users=n_users, n_days=n_days)
        make_catalogue(connection)
        campaign_day = int(n_days * 0.6)
        prepare(connection, campaign_day=campaign_day)
        n_lines = 0
        at_once = days_at_once or max(1, min(MOST_DAYS_AT_ONCE, PERSON_DAYS_AT_ONCE // n_users))
        for start in range(0, n_days, at_once):
            dates = [first_day + dt.timedelta(days=day) for day in range(start, min(start + at_once, n_days))]
            last = start + len(dates) - 1
            make_days(connection, first_day=start, dates=dates)
            for is_web in (True, False):
                for day, lines in lines_by_day(connection, first_day=start, last_day=last, is_web=is_web).items():
                    date = dates[day - start]
                    n_lines += len(lines)
                    text = "\n".join([*([WEB_HEADER] if is_web else []), *lines]) + "\n"
                    name = f"web/web_{date}.csv.gz" if is_web else f"app/app_{date}.jsonl.gz"
                    landing.write(name, text.encode().replace(BAD_BYTES.encode(), b"\xff\xfe"))
            forget_days(connection, last_day=last)
            say(f"{last + 1} of {n_days} days, {n_lines:,} events")
        _write_crm(connection, landing, first_day=first_day, n_days=n_days)
        _write_catalogue(connection, landing, first_day=first_day, n_days=n_days)
        _write_edges(connection, landing, first_day=first_day, campaign_day=campaign_day)
        _write_truth(connection, truth or out / "truth", first_day=first_day, n_days=n_days)
    finally:
        connection.close()
    return WorldSummary(n_users, n_days, first_day, last_day, n_lines, landing.n_files, landing.size_bytes)


def _write_crm(connection: duckdb.DuckDBPyConnection, landing: _Folder, *, first_day: dt.date, n_days: int) -> None:
    """Users by the week in which they come, and a few who move house; gender and birth are known of six in ten."""
    noise = ", ".join(f"cast(floor(1000 * draw(pid, {300 + i})) / 1000 as varchar)" for i in range(N_NOISE_COLUMNS))
    header = [
        "user_id", "gender", "birth_year", "birth_month", "income_band", "occupation", "education", "city", "registered_at", "updated_at",
        *(f"noise_{i + 1:02d}" for i in range(N_NOISE_COLUMNS)),
    ]  # fmt: skip
    for start in range(0, n_days, 7):
        date = first_day + dt.timedelta(days=start)
        rows = connection.execute(
            f"""
            select user_id, case when is_known then gender end, case when is_known then birth_year end, birth_month, income_band, occupation, education,
                city, strftime(cast($first as timestamp) + to_days(arrival_day) - interval 8 hour, '%Y-%m-%dT%H:%M:%SZ') as happened,
                strftime(cast($first as timestamp) + to_days(arrival_day) - interval 8 hour, '%Y-%m-%dT%H:%M:%SZ'), {noise}
            from people where not is_guest and arrival_day >= $start and arrival_day < $start + 7
            union all
            select user_id, null, null, null, null, null, null, 'Nanjing', null,
                strftime(cast($first as timestamp) + to_days($start) - interval 8 hour, '%Y-%m-%dT%H:%M:%SZ'), {", ".join(["null"] * N_NOISE_COLUMNS)}
            from people where not is_guest and arrival_day < $start and mixed(cast(pid as bigint) * 512 + $start, 320) % 400 = 0
            order by user_id, happened
            """,
            {"first": first_day, "start": start},
        ).fetchall()
        landing.write_csv(f"crm/users_{date}.csv", header, rows)


def _write_catalogue(
    connection: duckdb.DuckDBPyConnection, landing: _Folder, *, first_day: dt.date, n_days: int
) -> None:
    """All items on the first day, and every four weeks new prices of some."""
    for start in range(0, n_days, 28):
        date = first_day + dt.timedelta(days=start)
        rows = connection.execute(
            "select item_id, kind, title, category, chinese, brand, author, cast(case when $start > 0 then round(price * 0.9, 2) else price end as varchar)"
            " from items where $start = 0 or (price is not null and mixed(hash(item_id), 330 + $start) % 20 = 0) order by item_id",
            {"start": start},
        ).fetchall()
        names = ("item_id", "kind", "title", "categories", "brand", "author", "price", "currency", "updated_at")
        at = f"{first_day - dt.timedelta(days=1) if start == 0 else date}T16:00:00Z"
        lines = [
            json.dumps(
                dict(
                    zip(
                        names,
                        (item, kind, title, [category], brand, author, price, "CNY" if price else None, at),
                        strict=True,
                    )
                ),
                ensure_ascii=False,
            )
            for item, kind, title, category, _, brand, author, price in rows
        ]
        landing.write(f"catalogue/items_{date}.jsonl", ("\n".join(lines) + "\n").encode())


def _write_edges(
    connection: duckdb.DuckDBPyConnection, landing: _Folder, *, first_day: dt.date, campaign_day: int
) -> None:
    """Friends within communities, and the contacts of one campaign, half of those chosen held out as control."""
    friends = connection.execute(
        "select a.user_id, b.user_id, case when mixed(cast(a.pid as bigint) * 100000 + b.pid, 340) % 3 = 0 then 'follows' else 'friend' end"
        " from people as a join people as b on b.community = a.community and b.pid > a.pid where not a.is_guest and not b.is_guest"
        " and mixed(cast(a.pid as bigint) * 100000 + b.pid, 341) % 4 = 0 order by 1, 2"
    ).fetchall()
    at = f"{first_day - dt.timedelta(days=1)}T16:00:00Z"
    landing.write_csv(
        f"relations/relations_{first_day}.csv",
        ("from_user", "to_user", "relation", "since"),
        [(*row, at) for row in friends],
    )
    date = first_day + dt.timedelta(days=campaign_day)
    contacts = connection.execute("select user_id, is_treated from campaign order by user_id").fetchall()
    landing.write_csv(
        f"campaigns/contacts_{date}.csv", ("campaign", "user_id", "offer", "is_treated", "contacted_at", "cost"),
        [("spring", user, "voucher", "true" if treated else "false", f"{date - dt.timedelta(days=1)}T16:00:00Z", "1.50" if treated else "0.00") for user, treated in contacts],
    )  # fmt: skip


def _write_truth(connection: duckdb.DuckDBPyConnection, truth: Path, *, first_day: dt.date, n_days: int) -> None:
    """What only tests and the scoring may read.

    `absence` holds, by person and week end, the chance of no visit in the next 14 days for one who knows everybody's rate and
    whether they have begun to leave, but not who will: no model can do better on average.
    """
    truth.mkdir(parents=True, exist_ok=True)
    ends = list(range(6, n_days, 7))
    known = "(rate * (0.12 + 0.88 * greatest(0, arrival_day + stay_days - d) / 21.0)) * cast(d < arrival_day + stay_days as integer)"
    connection.execute(
        f"""
        create or replace temp table absence as
        select pid, t as day, cast($first as date) + cast(t as integer) as as_of_date,
            exp(-sum(case when t >= arrival_day + stay_days - 21 then {known} else rate end)) as p_absent
        from people, (select unnest($ends) as t), range(1, {HORIZON_DAYS + 1}) as h(k), lateral (select t + k as d)
        where arrival_day <= t group by pid, t
        """,
        {"first": first_day, "ends": ends},
    )
    tables = {
        "people": "select pid, user_id, segment, gender, birth_year, arrival_day, stay_days, is_guest, is_known, community, ring from people order by pid",
        "aliases": "select distinct pid, alias_id from aliases union select pid, 'user:' || user_id from people where not is_guest order by all",
        "absence": "select * from absence order by pid, day",
        "tastes": "select pid, is_product, first, second, third from favourites order by pid, is_product",
        "campaign": "select pid, user_id, is_treated, effect from campaign order by pid",
        "intensity": f"select pid, day, {intensity_sql('day')} as visits_expected from people, (select unnest($ends) as day) order by pid, day",
    }
    for name, sql in tables.items():
        rows = connection.sql(sql, params={"ends": ends} if "$ends" in sql else None).to_arrow_table()
        pq.write_table(rows, truth / f"{name}.parquet", write_page_checksum=True)
