"""The law of delivery: late, duplicated, shuffled and re-cut delivery gives what orderly delivery gives."""

import datetime as dt
import gzip
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from profile_pipeline.cleaned.tables import EVENTS
from profile_pipeline.orchestration.running import Runner
from profile_pipeline.paths import Paths
from profile_pipeline.raw.world.write import write_world
from profile_pipeline.settings import (
    AttributeModelSettings,
    OutcomeModelSettings,
    SegmentModelSettings,
    TrainingSettings,
)
from profile_pipeline.verification.judging import CleanEvent
from profile_pipeline.verification.sessions import cut
from profile_pipeline_tests.conftest import LAST_DAY, small_settings
from profile_pipeline_tests.faults.deliveries import (
    COMPARED,
    CONFIG,
    LAST,
    Part,
    Record,
    delivered,
    line,
    orderly,
    shop,
)
from profile_pipeline_tests.torture import examples

pytestmark = pytest.mark.faults
# Shops, and plans for each of them. What a shop is compared with is made once.
SHOPS = [pytest.param(n, id=f"part {n}") for n in range(examples(5, torture=20))]
PLANS = examples(10, torture=50)


@st.composite
def plans(draw: st.DrawFn, records: Sequence[Record]) -> tuple[list[list[Part]], list[bool]]:
    """The deliveries of a shop's records, and after which of them the tables are refreshed."""
    rng = random.Random(draw(st.integers(0, 10_000)))
    n_deliveries = draw(st.sampled_from([2, 1, 3, 2, 4]))
    n_parts = draw(st.sampled_from([1, 2, 5]))
    late_share = draw(st.sampled_from([0.03, 0.3, 1.0]))
    n_copies = draw(st.sampled_from([0, 0, 1, 30]))
    where = [rng.randrange(n_deliveries) if rng.random() < late_share else 0 for _ in records]
    placed = [*zip(where, records, strict=True)]
    placed += [(rng.randrange(n_deliveries), rng.choice(records)) for _ in range(n_copies)]
    is_shuffled = draw(st.booleans())
    deliveries = []
    for number in range(n_deliveries):
        mine = [record for delivery, record in placed if delivery == number]
        if is_shuffled:
            rng.shuffle(mine)
        cut = -(-len(mine) // n_parts) or 1
        deliveries.append([Part(i // cut, tuple(mine[i : i + cut])) for i in range(0, len(mine), cut)])
    if draw(st.booleans()):
        # A whole file once more, under another name.
        deliveries[-1].append(Part(99_999, rng.choice([part for parts in deliveries for part in parts]).records))
    return deliveries, [rng.random() < 0.6 for _ in deliveries]


def differences(found: dict[str, list[tuple]], expected: dict[str, list[tuple]]) -> dict[str, tuple[list, list]]:
    """The first rows that one has and the other lacks, by table."""
    return {
        name: ([r for r in found[name] if r not in rows][:3], [r for r in rows if r not in found[name]][:3])
        for name, rows in expected.items()
        if found[name] != rows
    }


@pytest.mark.parametrize("number", SHOPS)
def test_any_delivery_of_the_same_records_gives_the_same_tables(number: int, tried: Callable[..., None]) -> None:
    # An example takes a second: what fails is told as it is, and not made small for minutes.
    @seed(number)
    @settings(
        max_examples=PLANS,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        database=None,
    )
    @given(plans(shop(number)))
    def holds(plan: tuple[list[list[Part]], list[bool]]) -> None:
        tried()
        with line() as told:
            delivered(told, *plan)
            assert differences(told.contents(), orderly(number)) == {}
            loaded, cleaned, excluded, waiting, _ = told.counts()
            assert (loaded, waiting) == (cleaned + excluded, 0)

    holds()


def test_one_file_and_a_file_for_each_record_give_the_same_tables(tried: Callable[..., None]) -> None:
    records = shop(1, n_events=examples(300, torture=8_000))
    random.Random(1).shuffle(records)
    tried(len(records))
    found = []
    for parts in ([Part(0, tuple(records))], [Part(n, (record,)) for n, record in enumerate(records)]):
        with line() as told:
            delivered(told, [parts], [True])
            found.append(told.contents())
    assert differences(found[1], found[0]) == {}


@pytest.mark.parametrize("number", SHOPS)
def test_every_table_that_is_compared_holds_rows_and_events_come_up_to_sixty_days_late(number: int) -> None:
    assert {name for name, rows in orderly(number).items() if not rows} == set()
    # What a plan delivers last is refreshed on the last day, and may be of any day.
    day = EVENTS.column_names.index("event_date")
    assert min(row[day] for row in orderly(number)["cleaned.events"]) < LAST - dt.timedelta(days=60)


# ---- by the jobs, with models

N_DAYS = 42
START = LAST_DAY - dt.timedelta(days=N_DAYS - 1)
MODELS = {
    "gender": AttributeModelSettings(task="attribute", label="gender", min_labels=10),
    "age_band": AttributeModelSettings(task="attribute", label="birth_year", bands=(30, 45), min_labels=10),
    "churn": OutcomeModelSettings(task="outcome", active_days=14, horizon_days=7, is_absence=True, min_labels=10),
    "segments": SegmentModelSettings(task="segments", k_min=3, k_max=4, n_init=2),
}
BUILT = (
    *(name for name in COMPARED if name.startswith(("cleaned.", "features.", "profiles.")) and name != "cleaned.events"),
    "models.gender", "models.age_band", "models.churn", "models.segments", "models.population", "models.predictions", "models.selected_features", "evaluation.metrics",
    "evaluation.gates", "profiles.scores", "applications.audiences", "applications.daily_metrics",
)  # fmt: skip


def runner(data: Path) -> Runner:
    training = TrainingSettings(algorithms=("logistic_regression",), folds=2, n_bootstrap=50, backfill_weeks=2)
    # All days keep their snapshots: which do is else a matter of when one came.
    settings = small_settings(START, LAST_DAY, models=MODELS, training=training, daily_snapshots=N_DAYS)
    return Runner(settings, Paths(config=data / "profile.yaml", data=data), lambda _: None)


def recut(landing: Path, data: Path, *, n_deliveries: int, number: int) -> list[Path]:
    """Shuffle the lines of all files of events, deal them out to deliveries, some of them twice, and cut them anew."""
    rng = random.Random(number)
    folders = [data / f"delivery_{n}" for n in range(n_deliveries)]
    for source, suffix in (("web", "csv.gz"), ("app", "jsonl.gz")):
        lines, header = [], b""
        for path in sorted((landing / source).iterdir()):
            told = gzip.decompress(path.read_bytes()).split(b"\n")[:-1]
            header, told = (told[0], told[1:]) if source == "web" else (b"", told)
            lines += told
        placed = [(rng.randrange(n_deliveries), line) for line in lines]
        placed += [(rng.randrange(n_deliveries), line) for line in rng.sample(lines, len(lines) // 50)]
        rng.shuffle(placed)
        for n, folder in enumerate(folders):
            mine = [line for delivery, line in placed if delivery == n]
            for number, start in enumerate(range(0, len(mine), 700)):
                target = folder / source / f"{n}_{number}.{suffix}"
                target.parent.mkdir(parents=True, exist_ok=True)
                content = [*([header] if header else []), *mine[start : start + 700], b""]
                target.write_bytes(gzip.compress(b"\n".join(content), mtime=0))
    for other in sorted(p for p in landing.iterdir() if p.name not in ("web", "app")):
        shutil.copytree(other, rng.choice(folders) / other.name)
    return folders


def built(data: Path, deliveries: Sequence[Path]) -> dict[str, list[tuple]]:
    """Deliver and run as the command does, which trains on what has come so far, then once more with `--stale` and with `--retrain`."""
    r = runner(data)
    for folder in deliveries:
        shutil.copytree(folder, data / "landing", dirs_exist_ok=True)
        r.ingest()
        r.build_all()
    r.rebuild_stale()
    r.build_all()
    r.train(r.weeks[-r.settings.training.backfill_weeks :])
    r.build_profiles(r.profile_days())
    r.instance.dispose()
    with duckdb.connect(str(data / "profile.duckdb"), read_only=True) as connection:
        return {table: connection.execute(f"select * from {table} order by all").fetchall() for table in BUILT}


def test_the_jobs_give_the_same_tables_and_the_same_models_to_the_byte(
    tmp_path: Path, tried: Callable[..., None]
) -> None:
    write_world(tmp_path / "world", n_users=60, n_days=N_DAYS, seed=5, say=lambda _: None)
    landing = tmp_path / "world" / "landing"
    expected = built(tmp_path / "orderly", [landing])
    assert {table for table, rows in expected.items() if not rows} == set()
    for number in range(examples(1, torture=10)):
        tried()
        data = tmp_path / f"late_{number}"
        found = built(data, recut(landing, tmp_path / f"cut_{number}", n_deliveries=3, number=number))
        assert differences(found, expected) == {}
        shutil.rmtree(data)


# A session of less than 24 hours, from 23:30 of 7 March to 00:15 of the 9th: between them is a day of 23 hours.
OVER_A_SHORT_DAY = [
    Record("web", f"e{n},{at}Z,{at}Z,page_view,c1,,,i1,,,,,,,Mozilla")
    for n in range(58)
    for at in [(dt.datetime(2026, 3, 8, 4, 30) + dt.timedelta(minutes=25 * n)).isoformat()]
]
IN_NEW_YORK = CONFIG.replace("Asia/Shanghai", "America/New_York").replace("stream_day: 8", "stream_day: 100")


def test_a_session_over_a_day_of_23_hours_ends_alike_where_its_last_event_comes_late() -> None:
    found = []
    for n in (58, 57):
        with line(IN_NEW_YORK) as told:
            parts = [Part(0, tuple(records)) for records in (OVER_A_SHORT_DAY[:n], OVER_A_SHORT_DAY[n:])]
            delivered(told, [[part] for part in parts], [True, True])
            found.append(told.contents())
    assert differences(found[1], found[0]) == {}


def test_a_session_over_a_day_of_23_hours_ends_alike_in_the_tables_and_where_they_are_verified() -> None:
    with line(IN_NEW_YORK) as told:
        delivered(told, [[Part(0, tuple(OVER_A_SHORT_DAY))]], [True])
        events = [CleanEvent(*row) for row in told.warehouse.rows("select * from cleaned.events")]
        sessions = told.warehouse.dicts("select * from cleaned.sessions order by started_at")
    assert [(row["n_events"], row["event_date"].day) for row in sessions] == [(57, 7), (1, 9)]
    assert cut(events)[0] == sessions


def test_two_records_of_one_moment_are_ordered_by_what_they_say_wherever_a_field_ends_and_whatever_their_source_leaves_out() -> (
    None
):
    older = Record("crm", "u1,,上海,1990,1,2026-01-05T00:00:00Z")
    partial, whole = (Record(source, "u1,f,,,2,2026-02-01T00:00:00Z") for source in ("crm", "crm_whole"))
    one, other = (
        Record(
            "catalogue", f'{{"sku": "i1", "brand": "{brand}", "author": "{author}", "changed": "2026-02-01T00:00:00Z"}}'
        )
        for brand, author in (("x|", "y"), ("x", "|y"))
    )
    found = []
    for first, then in (((older, partial, one), (whole, other)), ((older, whole, other), (partial, one))):
        with line() as told:
            delivered(told, [[Part(0, first)], [Part(1, then)]], [False, True])
            found.append(
                (
                    told.warehouse.rows("select city, valid_to from cleaned.users order by valid_from"),
                    told.warehouse.rows("select brand, author from cleaned.items"),
                )
            )
    assert found[0] == found[1]
    assert found[0][0] == [("上海", dt.date(2026, 2, 1)), (None, None)]
