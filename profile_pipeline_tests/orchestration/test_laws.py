"""The laws of time and of delivery, tried with real files and real runs."""

import datetime as dt
import gzip
import shutil
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from profile_pipeline.orchestration.assets import features
from profile_pipeline.orchestration.build import build_defs
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.orchestration.sensors import RefreshFailedError
from profile_pipeline.paths import Paths
from profile_pipeline.raw.world.write import write_world
from profile_pipeline_tests.conftest import LAST_DAY, ROOT, World, small_settings, write_config

N_DAYS = 16
FIRST = LAST_DAY - dt.timedelta(days=N_DAYS - 1)
TABLES = [
    "cleaned.events", "cleaned.excluded_events", "cleaned.sessions", "cleaned.session_days", "cleaned.identities", "features.user_days", "features.user_item_days",
    "features.user_term_days", "features.behavior", "features.interests", "features.demand", "features.user_features",
]  # fmt: skip


def runner(data: Path) -> Runner:
    return Runner(small_settings(FIRST, LAST_DAY), Paths(config=data / "profile.yaml", data=data), lambda _: None)


def contents(data: Path, tables: list[str] = TABLES, where: str = "true") -> dict[str, list[tuple]]:
    with duckdb.connect(str(data / "profile.duckdb"), read_only=True) as connection:
        return {
            table: connection.execute(f"select * from {table} where {where} order by all").fetchall()
            for table in tables
        }


def assert_equal(found: dict[str, list[tuple]], expected: dict[str, list[tuple]]) -> None:
    for table, rows in expected.items():
        assert rows, f"{table} is empty: nothing is compared"
        assert found[table] == rows, f"{table} differs"


@pytest.fixture(scope="module")
def parted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world whose browser files are cut in two: most lines, and one line in forty that will come late."""
    folder = tmp_path_factory.mktemp("parted")
    write_world(folder, n_users=60, n_days=N_DAYS, seed=3, say=lambda _: None)
    for path in sorted((folder / "landing" / "web").iterdir()):
        header, *lines = gzip.decompress(path.read_bytes()).split(b"\n")[:-1]
        late = lines[5::40]
        for name, part in ((path.name, [line for line in lines if line not in late]), (f"late_{path.name}", late)):
            target = path.with_name(name) if name == path.name else folder / "late" / "web" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(gzip.compress(b"\n".join([header, *part]) + b"\n", mtime=0))
    return folder


def deliver(parted: Path, data: Path, *parts: str) -> None:
    for part in parts:
        shutil.copytree(parted / part, data / "landing", dirs_exist_ok=True)


def poison(data: Path, after: dt.date) -> int:
    """Land events and CRM records of a day that would change everything seen of earlier days by whoever looks ahead."""
    header = "id,ts,received,cookie,uid,session,action,sku,category,qty,unit_price,currency,stars,q,url,referrer,utm_campaign,device,ua,ip,country,city"
    with duckdb.connect(str(data / "profile.duckdb"), read_only=True) as connection:
        cookies = [
            c
            for (c,) in connection.execute(
                "select distinct anonymous_id from raw.events where anonymous_id is not null order by 1 limit 30"
            ).fetchall()
        ]
    lines = [
        f"poison{i},{after}T08:00:00Z,{after}T08:00:01Z,{c},u0000001,s,order,i001300,Poison,3,999.00,CNY,,,,,,,Mozilla,,CN,Mars"
        for i, c in enumerate(cookies)
    ]
    (data / "landing" / "web").mkdir(parents=True, exist_ok=True)
    (data / "landing" / "web" / "web_poison.csv.gz").write_bytes(
        gzip.compress("\n".join([header, *lines, ""]).encode())
    )
    (data / "landing" / "crm").mkdir(parents=True, exist_ok=True)
    (data / "landing" / "crm" / "users_poison.csv").write_text(
        ("user_id,gender,birth_year,birth_month,income_band,occupation,education,city,registered_at,updated_at,")
        + ",".join(f"noise_{i:02d}" for i in range(1, 21)) + "\n" + f"u0000001,poison,1900,13,x,x,x,Mars,,{after}T08:00:00Z," + ",".join(["9999"] * 20) + "\n",
        encoding="utf-8",
    )  # fmt: skip
    return len(cookies)


@pytest.fixture(scope="module")
def orderly(parted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything delivered at once and built as one range."""
    data = tmp_path_factory.mktemp("orderly")
    deliver(parted, data, "landing", "late")
    r = runner(data)
    r.ingest()
    r.build_features(FIRST, LAST_DAY)
    r.instance.dispose()
    return data


def test_late_delivery_folded_in_by_touched_rows_equals_orderly_delivery(
    parted: Path, orderly: Path, tmp_path: Path
) -> None:
    deliver(parted, tmp_path, "landing")
    r = runner(tmp_path)
    r.ingest()
    r.build_features(FIRST, LAST_DAY)
    before = contents(tmp_path, ["cleaned.events"])
    deliver(parted, tmp_path, "late")
    r.ingest()
    r.build_features(LAST_DAY - dt.timedelta(days=3), LAST_DAY)
    assert len(contents(tmp_path, ["cleaned.events"])["cleaned.events"]) > len(before["cleaned.events"])
    with duckdb.connect(str(tmp_path / "profile.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) from features.stale_days").fetchall()[0][0] > 0
        assert (
            connection.execute(
                "select count(*) from raw.pending where event_date >= $1 and event_date <= $2", [FIRST, LAST_DAY]
            ).fetchall()[0][0]
            == 0
        )
    assert_equal(contents(tmp_path, TABLES[:8]), contents(orderly, TABLES[:8]))
    with duckdb.connect(str(tmp_path / "profile.duckdb"), read_only=True) as connection:
        stale = [d for (d,) in connection.execute("select as_of_date from features.stale_days order by 1").fetchall()]
    r.build_features(stale[0], LAST_DAY)
    assert_equal(contents(tmp_path), contents(orderly))
    r.instance.dispose()


def test_an_earlier_copy_that_comes_later_displaces_a_row_of_another_day(parted: Path, tmp_path: Path) -> None:
    name = sorted(p.name for p in (parted / "landing" / "web").iterdir())[8]
    header, *lines = gzip.decompress((parted / "landing" / "web" / name).read_bytes()).split(b"\n")[:-1]
    copies = []
    for line in lines[::7]:
        fields = line.split(b",")
        if len(fields) == header.count(b",") + 1 and fields[1][:4] == b"2026":
            moved = dt.date.fromisoformat(fields[1][:10].decode()) - dt.timedelta(days=2)
            stamp = str(moved).encode() + fields[1][10:]
            copies.append(b",".join([fields[0], stamp, stamp, *fields[3:]]))
    assert len(copies) > 5
    earlier = tmp_path / "earlier" / "web"
    earlier.mkdir(parents=True)
    (earlier / "web_copies.csv.gz").write_bytes(gzip.compress(b"\n".join([header, *copies]) + b"\n", mtime=0))
    for data, deliveries in ((tmp_path / "at_once", ["both"]), (tmp_path / "later", ["first", "then"])):
        r = runner(data)
        for delivery in deliveries:
            if delivery != "then":
                deliver(parted, data, "landing")
            if delivery != "first":
                shutil.copytree(tmp_path / "earlier", data / "landing", dirs_exist_ok=True)
            r.ingest()
            r.build_features(FIRST if delivery != "then" else LAST_DAY, LAST_DAY)
        if len(deliveries) == 2:
            with duckdb.connect(str(data / "profile.duckdb"), read_only=True) as connection:
                stale = connection.execute("select min(as_of_date) from features.stale_days").fetchall()[0][0]
            r.build_features(stale, LAST_DAY)
        r.instance.dispose()
    found = contents(tmp_path / "later")
    assert_equal(found, contents(tmp_path / "at_once"))
    displaced = contents(tmp_path / "later", ["cleaned.excluded_events"], "reason_code = 'duplicate'")
    assert len(displaced["cleaned.excluded_events"]) >= len(copies)


def test_a_run_that_is_killed_goes_on_at_the_next_call(parted: Path, orderly: Path, tmp_path: Path) -> None:
    deliver(parted, tmp_path, "landing", "late")
    config = write_config(tmp_path / "profile.yaml", FIRST, LAST_DAY)
    command = [sys.executable, "-m", "profile_pipeline.cli", "run", "--config", str(config), "--data", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=ROOT) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("cleaned to features"):
                time.sleep(0.7)
                break
        process.kill()
    assert process.returncode == -9
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert_equal(contents(tmp_path), contents(orderly))
    with duckdb.connect(str(tmp_path / "serving.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) from profiles.user_profiles").fetchall()[0][0] > 0
    assert not list(tmp_path.glob("*.behind"))


def test_a_refresh_is_tried_three_times_and_then_names_its_run(parted: Path, tmp_path: Path) -> None:
    deliver(parted, tmp_path, "landing")
    r = runner(tmp_path)
    sensor = r.defs.get_repository_def().get_sensor_def("refresh_sensor")

    def tick() -> dg.SensorEvaluationContext:
        return dg.build_sensor_context(instance=r.instance)

    r.ingest()

    @dg.resource
    def broken(_: dg.InitResourceContext) -> None:
        raise ValueError("the disk is full")

    defs = build_defs(settings=r.settings, paths=r.paths, resources={"warehouse": broken})
    asked = []
    for _ in range(3):
        (request,) = sensor.evaluate_tick(tick()).run_requests
        asked.append(request)
        assert not defs.resolve_job_def("daily").execute_in_process(
            instance=r.instance, tags=request.tags, raise_on_error=False
        ).success  # fmt: skip
    assert len({request.run_key for request in asked}) == 3
    with pytest.raises(RefreshFailedError, match="failed 3 times, last as run"):
        sensor.evaluate_tick(tick())
    shutil.copytree(parted / "late", tmp_path / "landing", dirs_exist_ok=True)
    r.ingest()
    (request,) = sensor.evaluate_tick(tick()).run_requests
    assert request.tags["profile_pipeline/stale"] == "true"
    first, last = (
        dt.date.fromisoformat(request.tags[f"dagster/asset_partition_range_{end}"]) for end in ("start", "end")
    )
    assert (first, last) == (LAST_DAY - dt.timedelta(days=3), LAST_DAY)
    assert r.defs.resolve_job_def("daily").execute_in_process(instance=r.instance, tags=request.tags).success
    assert "since the last refresh began" in str(sensor.evaluate_tick(tick()).skip_message)
    days = set(r.instance.get_materialized_partitions(dg.AssetKey(["features", "user_features"])))
    assert {str(FIRST + dt.timedelta(days=n)) for n in range(N_DAYS)} == days
    r.instance.dispose()


def test_what_happens_after_a_day_changes_no_score_and_no_tag_of_that_day(world: World, tmp_path: Path) -> None:
    data = tmp_path / "poisoned"
    shutil.copytree(world.paths.data, data)
    day, after = dt.date(2026, 3, 22), dt.date(2026, 3, 26)
    told = ["profiles.scores", "profiles.tags", "profiles.user_profiles"]
    before = contents(data, told, f"as_of_date = date '{day}'")
    poison(data, after)
    r = Runner(world.settings, Paths(config=data / "profile.yaml", data=data), lambda _: None)
    r.ingest()
    r.build_features(day, r.days[-1])
    r.build_profiles([day, r.days[-1]])
    r.instance.dispose()
    newest = f"as_of_date = date '{r.days[-1]}'"
    assert contents(data, told, newest) != {
        t: world.rows(f"select * from {t} where {newest} order by all") for t in told
    }
    assert_equal(contents(data, told, f"as_of_date = date '{day}'"), before)


def test_a_range_equals_its_days(parted: Path, orderly: Path, tmp_path: Path) -> None:
    deliver(parted, tmp_path, "landing", "late")
    r = runner(tmp_path)
    r.ingest()
    for n in range(N_DAYS):
        day = FIRST + dt.timedelta(days=n)
        r.execute("daily", first=day, last=day, groups=("cleaned", "features"))
    r.instance.dispose()
    assert_equal(contents(tmp_path), contents(orderly))
    # Sign-ins and CRM records of a day say nothing of the days before it, and mark no snapshot of these.
    with duckdb.connect(str(tmp_path / "profile.duckdb"), read_only=True) as connection:
        assert connection.execute("select * from features.stale_days").fetchall() == []


def test_people_who_are_looked_at_in_parts_have_the_same_interests(
    orderly: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = contents(orderly, ["features.interests"])
    shutil.copytree(orderly, tmp_path / "data")
    with duckdb.connect(str(tmp_path / "data" / "profile.duckdb")) as connection:
        (n_tiles,) = connection.execute("select count(*) from features.user_item_days").fetchall()[0]
        connection.execute("delete from features.interests")
    monkeypatch.setattr(features, "SNAPSHOT_ROWS", n_tiles // 3)
    r = runner(tmp_path / "data")
    r.build_features(FIRST, LAST_DAY)
    r.instance.dispose()
    assert_equal(contents(tmp_path / "data", ["features.interests"]), expected)


def test_running_a_range_twice_changes_nothing(orderly: Path) -> None:
    before = contents(orderly)
    r = runner(orderly)
    r.execute(
        "daily", first=FIRST + dt.timedelta(days=4), last=FIRST + dt.timedelta(days=8), groups=("cleaned", "features")
    )
    r.instance.dispose()
    assert_equal(contents(orderly), before)


def test_what_happens_after_a_day_changes_nothing_of_that_day(orderly: Path, tmp_path: Path) -> None:
    data = tmp_path / "poisoned"
    shutil.copytree(orderly, data)
    day = FIRST + dt.timedelta(days=9)
    before = contents(data, TABLES[8:], f"as_of_date = date '{day}'")
    after = day + dt.timedelta(days=2)
    n_poison = poison(data, after)
    r = runner(data)
    r.ingest()
    r.build_features(day, LAST_DAY)
    r.instance.dispose()
    with duckdb.connect(str(data / "profile.duckdb"), read_only=True) as connection:
        n_found = connection.execute("select count(*) from cleaned.events where event_id like 'poison%'").fetchall()[0][
            0
        ]
        assert n_found == n_poison
        assert connection.execute("select max(attribute_noise_01) from features.user_features").fetchall()[0][0] == 9999
    assert_equal(contents(data, TABLES[8:], f"as_of_date = date '{day}'"), before)


def test_half_of_the_people_gone_changes_no_feature_of_the_others(orderly: Path, parted: Path, tmp_path: Path) -> None:
    with duckdb.connect(str(orderly / "profile.duckdb"), read_only=True) as connection:
        connected = connection.execute(
            "select distinct coalesce(anonymous_id, ''), coalesce(device_id, ''), coalesce(user_id, '') from raw.events where anonymous_id is not null or device_id is not null"
        ).fetchall()
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for anonymous, device, user in connected:
        names = [
            f"{kind}:{value}" for kind, value in (("anonymous", anonymous), ("device", device), ("user", user)) if value
        ]
        for other in names[1:]:
            parent[root(names[0])] = root(other)
    keep = {name for name in parent if sum(map(ord, root(name))) % 2 == 0}
    for folder in ("landing", "late"):
        for path in sorted((parted / folder / "web").iterdir()):
            header, *lines = gzip.decompress(path.read_bytes()).split(b"\n")[:-1]
            kept = [
                line
                for line in lines
                if f"anonymous:{line.decode('utf-8', 'replace').split(',')[3] if line.count(b',') > 3 else ''}" in keep
            ]
            target = tmp_path / "landing" / "web" / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(gzip.compress(b"\n".join([header, *kept]) + b"\n", mtime=0))
    for part in ("crm", "catalogue"):
        shutil.copytree(parted / "landing" / part, tmp_path / "landing" / part)
    r = runner(tmp_path)
    r.ingest()
    r.build_features(FIRST, LAST_DAY)
    r.instance.dispose()
    newest = f"as_of_date = date '{LAST_DAY}'"
    mine = contents(tmp_path, TABLES[8:11], newest)
    theirs = contents(orderly, TABLES[8:11], newest)
    # People who also use the app lose its events here: compared are those who never did.
    with duckdb.connect(str(orderly / "profile.duckdb"), read_only=True) as connection:
        web_only = {
            p
            for (p,) in connection.execute(
                "select profile_id from cleaned.identities where valid_to is null group by 1 having count(*) filter (where alias_id like 'device:%') = 0"
            ).fetchall()
        }
    for table, rows in mine.items():
        people = {row[0] for row in rows} & web_only
        assert len(people) > 5
        assert [row for row in rows if row[0] in people] == [row for row in theirs[table] if row[0] in people], table
