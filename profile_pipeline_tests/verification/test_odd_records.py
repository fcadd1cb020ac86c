"""The tables and their second computation agree on records that no file should hold: made at random, put into raw, built by the jobs."""

import datetime as dt
import json
import random
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from profile_pipeline.orchestration.resources import open_warehouse
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.orchestration.verifying.verify import verify
from profile_pipeline.paths import Paths
from profile_pipeline.raw.roles import ROLES
from profile_pipeline.raw.tables import EVENTS, ITEMS, USERS
from profile_pipeline.settings import BotSettings, FeatureSettings, Settings
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline_tests.conftest import LAST_DAY, small_settings, write_config

N_DAYS = 5
FIRST = LAST_DAY - dt.timedelta(days=N_DAYS - 1)
START = dt.datetime.combine(FIRST, dt.time()) - dt.timedelta(hours=8)
ODD_URLS = (
    None, "", "/a", "https://x.example/a/b?q=1#f", "x.example", "?only", "#only", "http://", "http://h?x/y", "a://b/c\nd?e\nf", "//h/p", "1a://h/p", "a+b.c-d://h/p/",
    "http://h/" + "é" * 80, "/p?a\n", "/p\n?a", "mailto:a@b",
)  # fmt: skip
ODD_QUERIES = (
    None,
    "",
    "  ",
    "Red  SHOES",
    "ΑΣ ΟΔΟΣ",
    "İstanbul",
    "a\tb\nc\rd\fe\vf",
    "\u00a0nbsp\u3000wide",
    "红色 鞋",
    "x" * 70,
    "ẞ ﬁ Ǆ",
    "'; drop --",
    "a b a",
)
ODD_AGENTS = (None, "Mozilla", "Googlebot", "my-CRAWLer", "BOT")
AMOUNTS = ("0", "0.005", "0.0049", "1.115", "2.675", "19.99", "-1", "999999999999.99", "99999999999999.9999")
QUANTITIES = ("0", "1", "3", "0.333", "-2", "999999999", "1000000000", "12345678901234.5678")
MONTHS_OF_CRM = ("1", " 2 ", "1e1", "1_0", "٣", "0x1", "nan", "inf", "30d", "", "-0.5")


def settings_of() -> Settings:
    features = FeatureSettings(
        attributes=("age", "Größe", "birth_year"), interests_per_kind=3, interest_half_life_days=2
    )
    return small_settings(
        FIRST, LAST_DAY, bots=BotSettings(max_events_per_stream_day=50), features=features, activity_days=3
    )


def odd_events(rng: random.Random, n: int) -> list[dict[str, Any]]:
    """Records of a few people who share devices and browsers, at times that meet and miss each other by a microsecond."""
    gaps = (0, 1, 999_999, 60_000_000, 1_799_999_999, 1_800_000_000, 1_800_000_001, 7_200_000_000)
    moment, rows = START, []
    for number in range(n):
        moment += dt.timedelta(microseconds=rng.choice(gaps))
        if moment > START + dt.timedelta(days=N_DAYS + 3):
            moment = START + dt.timedelta(microseconds=rng.randrange(86_400_000_000))
        role = rng.choice(ROLES)
        received = rng.choice(
            (None, moment, moment, moment - dt.timedelta(days=1), moment - dt.timedelta(days=1, microseconds=1))
        )
        row: dict[str, Any] = dict.fromkeys(EVENTS.column_names)
        row |= {
            "source": "web", "event_id": f"e{rng.randrange(n)}" if rng.random() < 0.15 else f"o{number}", "event_type": role, "role": role, "event_time": moment,
            "received_at": received, "anonymous_id": rng.choice((None, "a1", "a2", "a3", "é|x")), "user_id": rng.choice((None, None, None, "u1", "u2", "u3")),
            "device_id": rng.choice((None, "d1", "d2")), "email_hash": rng.choice((None, None, None, "m1")), "order_id": rng.choice((None, "", "o1", "o2")),
            "item_id": rng.choice((None, "", "i1", "i2", "i3")), "category": rng.choice((None, None, "", "Shoes")), "brand": rng.choice((None, "Acme")),
            "quantity": rng.choice((None, None, *map(Decimal, QUANTITIES))), "price": rng.choice((None, None, *map(Decimal, AMOUNTS))),
            "value": rng.choice((None, *map(Decimal, ("5", "0.0001", "-3", "999999999.9999", "1000000000")))), "currency": rng.choice((None, "CNY", "CNY", "USD")),
            "query": rng.choice(ODD_QUERIES), "url": rng.choice(ODD_URLS), "user_agent": rng.choice((*ODD_AGENTS, None, None)),
            "sent_at": rng.choice((None, moment)), "latitude": rng.choice((None, 31.2304, 1e300, -0.0000000005)), "properties": rng.choice((None, '{"b": 1.50}')),
            "row_number": number + 1, "file_id": f"f{number % 3}", "loaded_at": moment,
        }  # fmt: skip
        rows.append(row)
        if rng.random() < 0.1:
            # A copy in all but where it lies, or in one field.
            rows.append(row | {"row_number": n + number, "channel": rng.choice((None, None, "app"))})
    # Somebody who never pauses: a chain of days, that is cut where 24 hours are over, and where another user is named.
    for step in range(150):
        at = START + step * dt.timedelta(minutes=29)
        named = {
            "user_id": rng.choice((None, None, "u1", "u2")),
            "event_id": f"long{step}",
            "event_time": at,
            "received_at": at,
        }
        rows.append(
            rows[0]
            | named
            | {
                "anonymous_id": "long",
                "row_number": 3 * n + step,
                "price": None,
                "quantity": None,
                "value": None,
                "user_agent": None,
            }
        )
    # And somebody whom nobody shares anything with, and who signs in on the second day.
    for step in range(40):
        at = START + step * dt.timedelta(hours=2)
        named = {"user_id": "u4" if step >= 12 else None, "event_id": f"own{step}", "event_time": at, "received_at": at}
        rows.append(
            rows[0]
            | named
            | {
                "anonymous_id": "own",
                "device_id": None,
                "row_number": 4 * n + step,
                "price": None,
                "quantity": None,
                "value": None,
                "user_agent": None,
            }
        )
    return rows


def odd_versions(rng: random.Random) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Records of the CRM and the catalogue that lie one over the other, some at one time, some without any."""
    times = (None, START, START, *(START + dt.timedelta(hours=11 * n) for n in range(1, 10)))
    people, items = [], []
    for number in range(60):
        attributes = {"age": rng.choice(MONTHS_OF_CRM), "Größe": rng.choice(MONTHS_OF_CRM)}
        text = rng.choice(
            (
                None,
                "{}",
                *(json.dumps({name: value}, ensure_ascii=False) for name, value in attributes.items()),
                '{"age":7.0,"n":{"a":[1, 2.50]}}',
                '{"n":{"b":true},"l":[1.50,null,{"x":null,"y":1e2}]}',
            )
        )
        common = {"file_id": "f0", "row_number": number + 1, "updated_at": rng.choice(times), "loaded_at": START}
        people.append(dict.fromkeys(USERS.column_names) | common | {
            "source": "crm", "user_id": rng.choice(("u1", "u2", "u3")), "gender": rng.choice((None, "", "f", "m")), "birth_year": rng.choice((None, 1980)),
            "birth_date": rng.choice((None, dt.date(1980, 2, 29))), "registered_at": rng.choice((None, START + dt.timedelta(microseconds=120_000))), "attributes": text,
        })  # fmt: skip
        items.append(dict.fromkeys(ITEMS.column_names) | common | {
            "source": "catalogue", "item_id": rng.choice(("i1", "i2")), "kind": rng.choice((None, "video", "music")), "title": rng.choice((None, 'a"b')),
            "categories": rng.choice((None, [], ["Shoes"], ["Shoes", "Shoes", None, "红"])), "brand": rng.choice((None, "", "Acme")),
            "author": rng.choice((None, "X")), "price": rng.choice((None, Decimal("1.5"))), "attributes": rng.choice((None, '{"z": 1}', '{"y":{"a":2.50}}', '{"z":null,"y":{"b":1}}')),
        })  # fmt: skip
    # What was said of them is from before the calendar, or without a time.
    for number, at in enumerate((None, START - dt.timedelta(days=30)), start=61):
        said = {"file_id": "f0", "row_number": number, "updated_at": at, "loaded_at": START}
        person, item = {"source": "crm", "user_id": "u4"}, {"source": "catalogue", "item_id": "i3"}
        person |= {"gender": "f"} if at is None else {"birth_year": 1980}
        item |= {"title": "T"} if at is None else {"price": Decimal("1.5")}
        people.append(dict.fromkeys(USERS.column_names) | said | person)
        items.append(dict.fromkeys(ITEMS.column_names) | said | item)
    return people, items


def put(w: Warehouse, table: Any, rows: list[dict[str, Any]], **derived: str) -> None:
    """Insert rows as they are, with the columns that loading derives."""
    names = [name for name in table.column_names if name not in derived]
    incoming = pa.Table.from_pylist([{name: row[name] for name in names} for row in rows])
    selected = ", ".join(
        [f"cast({name} as {table.types[name]}) as {name}" for name in names]
        + [f"{sql} as {name}" for name, sql in derived.items()]
    )
    w.insert_from(table, f"select {selected} from incoming_arrow", incoming)


@pytest.mark.faults
def test_odd_records_come_out_the_same_by_two_computations(tmp_path: Path) -> None:
    settings, paths = (
        settings_of(),
        Paths(config=write_config(tmp_path / "profile.yaml", FIRST, LAST_DAY), data=tmp_path),
    )
    rng = random.Random(1)
    people, items = odd_versions(rng)
    with closing(open_warehouse(settings, paths, owner="test", say=lambda _: None)) as w, w.transaction():
        put(w, EVENTS, odd_events(rng, 2500), event_hash="hash(event_id)", event_date="cast(event_time at time zone 'UTC' at time zone 'Asia/Shanghai' as date)")  # fmt: skip
        put(w, USERS, people)
        put(w, ITEMS, items)
        by_file = " union all ".join(f"select file_id from raw.{name}" for name in ("events", "users", "items"))
        w.execute(
            "insert into raw.files select file_id, 'web', file_id, 1, n, n, 0, 0, $at, $at, file_id, 'loaded', null"
            f" from (select file_id, count(*) as n from ({by_file}) group by file_id)",
            {"at": START + dt.timedelta(days=2)},
        )
        w.execute(
            "insert into raw.pending select file_id, event_date, count(*) from raw.events group by file_id, event_date"
        )
        w.execute("insert into cleaned.ledger select event_date, file_id, n_events, 0, 0, n_events from raw.pending")
    r = Runner(settings, paths, lambda _: None)
    r.build_features(FIRST, LAST_DAY)
    r.build_profiles([LAST_DAY])
    r.instance.dispose()
    days = [FIRST + dt.timedelta(days=n) for n in range(N_DAYS)]
    with closing(open_warehouse(settings, paths, owner="test", say=lambda _: None, is_read_only=True)) as w:
        verdict = verify(w, settings, n_people=10**6, has_new_versions=False, days=days)
        n_of_somebody, n_cut = w.rows(
            "select (select count(*) from cleaned.events where alias_id is not null), (select count(*) from cleaned.sessions where stream_id = 'anonymous:long')"
        )[0]
        reasons = {reason for (reason,) in w.rows("select distinct reason_code from cleaned.excluded_events")}
        rules = {rule for (rule,) in w.rows("select distinct rule from cleaned.identities")}
    assert verdict.differences == []
    assert verdict.comparison.n_rows["cleaned.events"] == n_of_somebody
    assert n_cut > 4
    assert reasons == {
        "duplicate", "out_of_calendar", "out_of_calendar_future", "invalid_price", "invalid_quantity", "invalid_amount", "invalid_value", "bot_user_agent", "bot_volume",
    }  # fmt: skip
    assert rules == {"alone", "signed_in", "shared"}
    # Nobody is related to another, and no model is trained here.
    without = {"cleaned.relations", "profiles.scores"}
    assert {table for table, n in verdict.comparison.n_rows.items() if not n} == without
