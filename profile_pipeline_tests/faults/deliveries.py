"""A tiny shop that means harm, its records delivered by any plan, and the steps of a refresh taken one after the other.

The steps are the bodies of the assets, in the order of their dependencies, without a run around each: hundreds of deliveries can
be tried in a minute. Not here: any test; runs as they are started in production (`test_delivery` takes a few).
"""

import contextlib
import datetime as dt
import inspect
import json
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import yaml

from profile_pipeline.orchestration.build import build_assets, lineage_cache
from profile_pipeline.orchestration.building.days import RANGE_END_TAG, RANGE_START_TAG, REFRESH_TAG, STALE_TAG
from profile_pipeline.orchestration.resources import open_warehouse
from profile_pipeline.paths import Paths
from profile_pipeline.settings import Settings

FIRST, LAST = dt.date(2026, 1, 5), dt.date(2026, 3, 15)
RESTATED = LAST - dt.timedelta(days=3)
CONFIG = """
calendar: {start: 2026-01-05, end: 2026-03-15, timezone: Asia/Shanghai}
currency: CNY
stable_seconds: 0
threads: 1
restate_days: 3
daily_snapshots: 100
bots: {max_events_per_stream_day: 8}
sources:
  web:
    table: events
    path: web/*.csv
    format: csv
    columns: {event_id: id, event_time: ts, received_at: received, event_type: action, anonymous_id: cookie, user_id: uid, device_id: device,
      order_id: "'o' || sku", item_id: sku, category: category, quantity: qty, price: price, currency: currency, query: q, url: url, user_agent: ua}
  app:
    table: events
    path: app/*.jsonl
    format: jsonl
    columns: {event_time: at, event_type: event, user_id: user, email_hash: mail, device_id: device, item_id: item}
  crm:
    table: users
    path: crm/*.csv
    format: csv
    columns: {user_id: uid, gender: gender, city: city, birth_year: born, updated_at: changed}
    attributes: [tier]
  crm_whole:
    table: users
    path: crm_whole/*.csv
    format: csv
    full_records: true
    columns: {user_id: id, gender: gender, city: city, birth_year: born, updated_at: changed}
    attributes: [tier]
  catalogue:
    table: items
    path: catalogue/*.jsonl
    format: jsonl
    columns: {item_id: sku, kind: kind, title: title, brand: brand, author: author, price: price, updated_at: changed}
  relations:
    table: relations
    path: relations/*.csv
    format: csv
    columns: {user_id: a, other_user_id: b, relation: how, updated_at: since}
features: {attributes: [tier]}
tags:
  city: {fact: city}
  busy: {rules: [{value: "yes", when: "n_events_30d > 3"}, {value: "no", when: "n_events_30d >= 0"}]}
audiences: {}
"""
HEADERS = {
    "web": "id,ts,received,action,cookie,uid,device,sku,category,qty,price,currency,q,url,ua",
    "crm": "uid,gender,city,born,tier,changed",
    # Another header: a file of the same bytes would be the same file.
    "crm_whole": "id,gender,city,born,tier,changed",
    "relations": "a,b,how,since",
    "app": "",
    "catalogue": "",
}
WITHOUT_PLACE = "* exclude (file_id, row_number)"
# What is compared, all columns but those that say in which file a record lay.
COMPARED = {
    "cleaned.events": f"select {WITHOUT_PLACE} from cleaned.events",
    "otherwise excluded": "select e.event_id, x.event_date, x.reason_code from cleaned.excluded_events as x join raw.events as e using (file_id, row_number)"
    " where x.reason_code <> 'duplicate'",
    "rejected": "select distinct source, reason_code, record from raw.rejected_records",
    **{
        table: f"select * from {table}"
        for table in (
            "cleaned.sessions", "cleaned.session_days", "cleaned.identities", "cleaned.users", "cleaned.items", "cleaned.relations", "features.user_days",
            "features.user_item_days", "features.user_term_days", "features.behavior", "features.interests", "features.demand", "features.user_features",
            "profiles.user_profiles", "profiles.tags",
        )
    },
}  # fmt: skip
_STAGES = ("raw", "cleaned", "features", "profiles")


@dataclass(frozen=True)
class Record:
    """A line of a source's file."""

    source: str
    line: str


@dataclass(frozen=True)
class Part:
    """A file of a delivery: its number and the records in it, in order."""

    number: int
    records: tuple[Record, ...]


def shop(seed: int, n_events: int = 90) -> list[Record]:
    """Return the records of a few people in seventy days: signed in late, on shared devices, across midnight, and with every
    kind of copy, error and tie.

    The days are the first and the last of the calendar, and three visits of three days each: people come at any time, and stay.
    """
    rng = random.Random(seed)
    visits = [FIRST + dt.timedelta(days=rng.randrange(68)) for _ in range(3)]
    days = sorted({first + dt.timedelta(days=n) for first in visits for n in range(3)} | {FIRST, LAST})
    records = [record for n in range(n_events) for record in _web(rng, days, n)]
    records += [record for _ in range(n_events // 6) for record in _app(rng, days)]
    records += [record for _ in range(14) for record in _crm(rng, days)]
    records += [_item(rng, days) for _ in range(10)]
    records += [
        Record("relations", f"u{rng.randrange(3)},u{rng.randrange(3)},{rng.choice(['friend', ''])},{_moment(rng, days, 60)}")
        for _ in range(5)
    ]  # fmt: skip
    return records


def _moment(rng: random.Random, days: Sequence[dt.date], minutes: int) -> str:
    at = dt.datetime.combine(rng.choice(days), dt.time()) + dt.timedelta(
        minutes=minutes * rng.randrange(1440 // minutes)
    )
    return f"{at.isoformat()}Z"


def _web(rng: random.Random, days: Sequence[dt.date], n: int) -> Iterator[Record]:
    person = min(rng.randrange(5), rng.randrange(5))
    at = _moment(rng, days, rng.choice([7, 30, 480]))
    fields = {
        "id": f"e{n}", "ts": rng.choice([at] * 12 + ["no time"]), "received": rng.choice([at, at, ""]),
        "action": rng.choice(["page_view", "page_view", "search", "add_to_cart", "purchase", "refund"]), "cookie": rng.choice([f"c{person}", f"c{person}", "shared", ""]),
        "uid": f"u{person}" if rng.random() < 0.15 else "", "device": rng.choice(["", f"d{person}"]), "sku": f"i{rng.randrange(6)}", "category": rng.choice(["", "a", "a|", "b"]),
        "qty": rng.choice(["1", "2", "", "-1", "0"]), "price": rng.choice(["9.99", "0.005", "1e3", "", "-2", "much"]), "currency": rng.choice(["CNY", "CNY", "USD", ""]),
        "q": rng.choice(["", "red shoes", "红 鞋"]), "url": rng.choice(["", "https://x.example/a?b", "|/c"]), "ua": rng.choice(["Mozilla"] * 12 + ["Googlebot"]),
    }  # fmt: skip
    yield Record("web", ",".join(fields.values()))
    for _ in range(rng.choice([0] * 7 + [1, 2])):
        yield Record("web", ",".join((fields | _copied(rng, days, fields)).values()))


def _copied(rng: random.Random, days: Sequence[dt.date], fields: dict[str, str]) -> dict[str, str]:
    """What a second record of one id says otherwise: nothing, when, where, or only where a field ends."""
    other = _moment(rng, days, 30)
    outside = rng.choice(
        ["2025-12-01T10:00:00Z", "2026-03-16T10:00:00Z", "2026-03-20T10:00:00Z", "2026-06-01T10:00:00Z"]
    )
    return rng.choice([
        {}, {"ts": other}, {"ts": other, "received": other}, {"received": other}, {"ts": outside, "received": outside}, {"cookie": "c4"},
        {"q": f"{fields['q']}|", "url": fields["url"].removeprefix("|")}, {"price": "5"}, {"uid": "u4"},
    ])  # fmt: skip


def _app(rng: random.Random, days: Sequence[dt.date]) -> Iterator[Record]:
    person = rng.randrange(4)
    told = {"at": _moment(rng, days, 480), "event": "read", "device": f"d{person}", "item": f"i{rng.randrange(6)}"}
    if rng.random() < 0.3:
        told["user"] = f"u{person}"
    if rng.random() < 0.3:
        told["mail"] = f"m{min(person, rng.randrange(4))}@x.example"
    line = json.dumps(told) if rng.random() < 0.95 else '{"at": '
    for _ in range(rng.choice([1, 1, 2])):
        yield Record("app", line)


def _crm(rng: random.Random, days: Sequence[dt.date]) -> Iterator[Record]:
    changed = rng.choice([_moment(rng, days, 720), f"{FIRST}T00:00:00Z", ""])
    fields = [
        f"u{rng.randrange(4)}",
        rng.choice(["", "f", "m"]),
        rng.choice(["", "Xi'an", "上海"]),
        rng.choice(["", "1990", "2001"]),
        rng.choice(["", "1", "2"]),
        changed,
    ]
    source = rng.choice(["crm", "crm", "crm_whole"])
    yield Record(source, ",".join(fields))
    if rng.random() < 0.2:
        yield Record(rng.choice(["crm", "crm_whole"]), ",".join(fields))


def _item(rng: random.Random, days: Sequence[dt.date]) -> Record:
    told = {
        "sku": f"i{rng.randrange(6)}",
        "kind": rng.choice(["book", None]),
        "title": rng.choice(["A", "B", None]),
        "brand": rng.choice(["x", "x|", None]),
    }
    told |= {
        "author": rng.choice(["y", "|y", None]),
        "price": rng.choice([1.5, 20, None]),
        "changed": rng.choice([_moment(rng, days, 720), None]),
    }
    return Record("catalogue", json.dumps(told))


def write_part(landing: Path, delivery: int, part: Part) -> None:
    """Land a file for each source of which the part has records."""
    for source in sorted({record.source for record in part.records}):
        lines = [record.line for record in part.records if record.source == source]
        suffix = "csv" if HEADERS[source] else "jsonl"
        target = landing / source / f"{part.number:05d}_{delivery}.{suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join([*([HEADERS[source]] if HEADERS[source] else []), *lines, ""]), encoding="utf-8")


class Line:
    """A data folder, to which is delivered and in which refreshes are taken."""

    def __init__(self, data: Path, config: str = CONFIG) -> None:
        self.paths = Paths(config=data / "profile.yaml", data=data)
        self.settings = Settings.model_validate(yaml.safe_load(config))
        if config == CONFIG:
            self.paths.warehouse.write_bytes(_empty())
        self.warehouse = open_warehouse(self.settings, self.paths, owner="a test", say=lambda _: None)
        # There is no model, and what scoring brings along takes longer to load than everything else.
        self._steps = [
            asset
            for asset in build_assets(self.settings, self.paths, _lineages())
            if next(iter(asset.keys)).path[0] in _STAGES and asset.node_def.name != "profiles__scores"
        ]

    def ingest(self) -> None:
        """Load what has landed."""
        self._take(self._steps[:1], RESTATED, LAST, {})

    def refresh(
        self,
        *,
        first: dt.date = RESTATED,
        last: dt.date = LAST,
        includes_stale: bool = False,
        steps: Sequence[str] | None = None,
    ) -> None:
        """Judge and follow: the days of the range, and what waits elsewhere; all steps, or those that are named."""
        tags = {REFRESH_TAG: "true"} | ({STALE_TAG: "true"} if includes_stale else {})
        taken = [step for step in self._steps[1:] if steps is None or step.node_def.name in steps]
        self._take(taken, first, last, tags)

    def judge(self, first: dt.date, last: dt.date) -> None:
        """Judge the events of the range and nothing else, as a backfill of `cleaned.events` does."""
        self._take([step for step in self._steps if step.node_def.name == "judged_events"], first, last, {})

    def _take(self, steps: Sequence, first: dt.date, last: dt.date, tags: dict[str, str]) -> None:
        run = SimpleNamespace(tags=tags | {RANGE_START_TAG: str(first), RANGE_END_TAG: str(last)})
        for step in steps:
            body: Callable = step.node_def.compute_fn.decorated_fn
            context = SimpleNamespace(
                run=run, assets_def=step, log=logging.getLogger("deliveries"), add_asset_metadata=lambda *_, **__: None, log_event=lambda *_: None
            )  # fmt: skip
            given = {"context": context} if "context" in inspect.signature(body).parameters else {}
            done = body(**given, warehouse=self.warehouse)
            if inspect.isgenerator(done):
                list(done)

    def contents(self, compared: dict[str, str] = COMPARED) -> dict[str, list[tuple]]:
        return {name: self.warehouse.rows(f"select * from ({query}) order by all") for name, query in compared.items()}

    def counts(self) -> tuple[int, int, int, int, int]:
        """Return records: loaded events, cleaned, excluded, waiting, rejected of all sources."""
        return self.warehouse.rows(
            "select (select count(*) from raw.events), (select count(*) from cleaned.events), (select count(*) from cleaned.excluded_events),"
            " (select coalesce(cast(sum(n_events) as bigint), 0) from raw.pending where file_id is not null), (select count(*) from raw.rejected_records)"
        )[0]  # type: ignore[return-value]


@cache
def _empty() -> bytes:
    """A database with all tables and nothing in them: to copy it is faster than to make them."""
    with TemporaryDirectory() as folder:
        paths = Paths(config=Path(folder) / "profile.yaml", data=Path(folder))
        made = open_warehouse(
            Settings.model_validate(yaml.safe_load(CONFIG)), paths, owner="a test", say=lambda _: None
        )
        made.rows("checkpoint")
        made.close()
        return paths.warehouse.read_bytes()


@cache
def _lineages():
    return lineage_cache()


@contextlib.contextmanager
def line(config: str = CONFIG) -> Iterator[Line]:
    """Open a line in a folder that is gone afterwards."""
    with TemporaryDirectory() as folder:
        opened = Line(Path(folder), config)
        try:
            yield opened
        finally:
            opened.warehouse.close()


def delivered(line: Line, deliveries: Sequence[Sequence[Part]], refreshed: Sequence[bool]) -> None:
    """Deliver in order, refreshing after some deliveries and after the last, then with the snapshots that late records have outdated."""
    for number, (parts, is_refreshed) in enumerate(zip(deliveries, refreshed, strict=True), start=1):
        for part in parts:
            write_part(line.paths.landing, number, part)
        line.ingest()
        if is_refreshed or number == len(deliveries):
            line.refresh()
    if line.warehouse.days("select as_of_date from features.stale_days"):
        # What a refresh has marked is rebuilt by the next.
        line.refresh(includes_stale=True)


@cache
def orderly(seed: int) -> dict[str, list[tuple]]:
    """Return what the shop looks like delivered at once, one file a source, and built as one range."""
    with line() as whole:
        write_part(whole.paths.landing, 0, Part(0, tuple(shop(seed))))
        whole.ingest()
        whole.refresh(first=FIRST)
        whole.refresh(includes_stale=True)
        return whole.contents()
