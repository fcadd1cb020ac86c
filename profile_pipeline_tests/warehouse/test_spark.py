"""The second engine: its rewrites one by one, and every SQL file on the small world."""

import datetime as dt
import json
import random
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from profile_pipeline.warehouse.spark import SETTINGS, SparkWarehouse, json_merger, translated
from profile_pipeline.warehouse.sql import sql_file
from profile_pipeline_tests.conftest import ROOT, World
from profile_pipeline_tests.engines import Compared, Engine, assert_equal_rows
from profile_pipeline_tests.warehouse.small_world import SmallWorld

FILES = sorted((ROOT / "profile_pipeline").glob("*/*.sql"))
LAST_WEEK = dt.date(2026, 3, 23)


# ---- the engine


@pytest.mark.spark
def test_the_session_is_set_so_that_the_files_say_the_same(spark: SparkWarehouse) -> None:
    assert {name: spark.session.conf.get(name) for name in SETTINGS} == SETTINGS


@pytest.mark.spark
def test_what_overflows_or_can_not_be_cast_is_an_error_and_no_null(spark: SparkWarehouse) -> None:
    for wrong in ("select cast(300 as tinyint) as x", "select 1 % 0 as x", "select cast('a' as integer) as x"):
        with pytest.raises(Exception, match="SQLSTATE: 22"):
            spark.rows(wrong)


@pytest.mark.spark
def test_a_table_of_the_catalog_is_read_as_it_stands_until_a_view_stands_in_its_place(
    spark: SparkWarehouse, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"n": [1, 2]}), tmp_path / "rows.parquet")
    spark.session.sql("create database if not exists given")
    spark.session.sql(f"create table given.numbers using parquet location '{tmp_path}'")
    text = "with numbers as (select * from given.numbers where n >= $least) select sum(numbers.n) as total from numbers"
    assert spark.rows(text, {"least": 2}) == [(2,)]
    spark.temporary("given.numbers", pa.table({"n": [5]}))
    assert spark.rows(text, {"least": 2}) == [(5,)]
    spark.temporary("doubled", "select 2 * n as n from given.numbers where n < $most", {"most": 9})
    assert spark.rows("select n from doubled") == [(10,)]
    spark.drop("given.numbers", "doubled")
    assert spark.rows(text, {"least": 2}) == [(2,)]


@pytest.mark.spark
def test_a_parameter_is_a_value_and_never_sql(spark: SparkWarehouse) -> None:
    odd = "a'; drop table x; -- \\ \" :b $c"
    parameters = {"text": odd, "day": dt.date(2026, 1, 5), "number": 3}
    rows = spark.rows("select $text as text, $day as day, $number + 1 as number, ':b $c' as literal", parameters)
    assert rows == [(odd, dt.date(2026, 1, 5), 4, ":b $c")]


@pytest.mark.spark
def test_no_rows_are_handed_over_too_whatever_their_columns_hold(spark: SparkWarehouse) -> None:
    kinds = {"l": pa.list_(pa.string()), "t": pa.timestamp("us"), "u": pa.uint64(), "d": pa.decimal128(18, 2)}
    spark.temporary("nothing", pa.table({name: pa.array([], kind) for name, kind in kinds.items()}).slice(1))
    assert spark.arrow("select * from nothing").num_rows == 0
    spark.temporary("something", pa.table({"u": pa.array([2**64 - 1, None], pa.uint64())}))
    assert spark.rows("select max(u) as u from something") == [(2**64 - 1,)]


# ---- the rewrites


# Unicode 16 and 17 brought these, and the engines do not keep up with it in step.
NEW_LETTERS = {0x1C89, *range(0xA7CB, 0xA7DD), *range(0x10D50, 0x10D90), *range(0x16EA0, 0x16EE0)}


def characters() -> pa.Table:
    """All of the first two planes, in which every letter that has a case lies."""
    codes = [code for code in range(1, 0x20000) if not 0xD800 <= code < 0xE000 and code not in NEW_LETTERS]
    return pa.table({"code": pa.array(codes, pa.int32()), "text": [chr(code) for code in codes]})


def test_every_character_is_lowered_and_trimmed_the_same(engine: Engine) -> None:
    engine.hold("characters", characters())
    text = "select code, lower(text || 'Σ' || text) as lowered, trim(text || 'x' || text) as trimmed from characters"
    assert engine.arrow(text).num_rows > 120_000


def test_text_is_a_number_on_both_engines_or_on_none(engine: Engine) -> None:
    texts = ["1", "-1.5", "+5", " 5 ", "1e3", "1E-3", ".5", "1.", "", "-", ".", "x", "1,5", "30d", "30D ", "1f", "1.f"]
    texts += [".5d", "0x1p3", "0x1A", "1_000", "inf", "-Infinity", "nan", "true", "1 2", "1e400", "٣", "５", "1e", "0"]
    engine.hold("texts", pa.table({"text": texts}))
    numbers = dict(engine.rows("select text, try_cast(text as double) as number from texts"))
    assert (numbers["30d"], numbers["0x1p3"], numbers["1_000"], numbers[" 5 "]) == (None, None, 1000.0, 5.0)


def test_complete_years_are_the_same_of_any_two_days(engine: Engine) -> None:
    chosen = random.Random(1)
    days = [dt.date(1890, 1, 1) + dt.timedelta(days=chosen.randrange(60_000)) for _ in range(4000)]
    ends = [
        dt.date(2000, 2, 28),
        dt.date(2000, 2, 29),
        dt.date(2001, 2, 28),
        dt.date(2004, 2, 28),
        dt.date(2004, 2, 29),
    ]
    pairs = [*zip(days, days[::-1], strict=True), *((a, b) for a in ends for b in ends)]
    engine.hold("pairs", pa.table({"a": [a for a, _ in pairs], "b": [b for _, b in pairs]}))
    found = {(a, b): years for a, b, years in engine.rows("select a, b, date_sub('year', a, b) as years from pairs")}
    assert [found[ends[1], end] for end in ends] == [0, 0, 1, 3, 4]


OBJECTS = [
    ["{}"], [None], [None, '{"a":1}', None], ['{"a":1,"b":{"x":1,"y":null}}', '{"b":{"x":null,"z":[1,{"q":null}]},"c":1.50}'],
    ['{"b":1,"a":"é\\u00e9\\n"}', '{"a":{"x":1},"b":null}', '{"a":{"y":2}}'], ['{"n":12345678901234567890123,"t":true}', '{"n":-0.001}'],
]  # fmt: skip


def test_json_is_merged_in_order_the_same(engine: Engine) -> None:
    engine.hold("objects", pa.table({"texts": pa.array(OBJECTS, pa.list_(pa.string()))}))
    text = "select list_reduce(list_filter(texts, lambda a: a is not null), lambda a, b: json_merge_patch(a, b), json('{}')) as merged from objects"
    assert {'{"a":1}', "{}"} < {merged for (merged,) in engine.rows(text)}


@pytest.mark.parametrize("objects", OBJECTS)
def test_json_is_merged_in_the_order_of_names_that_duckdb_gives(objects: list[str | None]) -> None:
    text = "select cast(list_reduce(list_filter(cast($objects as varchar[]), lambda a: a is not null), lambda a, b: json_merge_patch(a, b), json('{}')) as varchar)"
    expected = duckdb.execute(text, {"objects": objects}).fetchall()[0][0]
    assert list(json.loads(json_merger()(objects)).items()) == list(json.loads(expected).items())


@pytest.mark.parametrize("text", ["select date_sub('month', a, b)", "select list_reduce(l, lambda a, b: a + b)"])
def test_what_has_no_proven_translation_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no proven translation"):
        translated(text)


def test_a_rewrite_inside_of_another_is_written_too() -> None:
    text = "select lower(trim(lower(x))) from cleaned.events join t using (x)"
    written = translated(text, frozenset({"cleaned.events"}))
    assert written.count("TRANSLATE(") == 2
    assert "TRIM(' " in written
    assert "FROM cleaned__events AS events JOIN t USING (x)" in written


def test_rows_that_differ_in_one_value_or_one_kind_are_not_equal() -> None:
    rows = pa.table({"n": pa.array([1, 1, 2]), "j": ['{"a":1e-05,"b":[1]}', None, "{}"]})
    same = pa.table({"n": pa.array([2, 1, 1]), "j": ["{}", None, '{"b":[1],"a":0.00001}']})
    assert_equal_rows(same, rows, json_columns=["j"])
    others = [rows.slice(1), rows.rename_columns(["m", "j"])]
    others += [rows.set_column(0, "n", pa.array(values)) for values in ([1, 2, 2], [1.0, 1.0, 2.0])]
    for other in others:
        with pytest.raises(AssertionError):
            assert_equal_rows(other, rows)


# ---- every file


@pytest.fixture(scope="module")
def small_world(world: World, spark: SparkWarehouse) -> Iterator[SmallWorld]:
    with duckdb.connect(str(world.paths.warehouse), read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        yield SmallWorld(Engine(connection, spark, Compared()), world.settings, LAST_WEEK)


@pytest.mark.spark
@pytest.mark.parametrize("step", SmallWorld.STEPS)
def test_each_step_of_the_small_world_gives_the_same_rows(small_world: SmallWorld, step: str) -> None:
    small_world.take(step)


@pytest.mark.spark
def test_every_sql_file_ran_on_the_small_world(small_world: SmallWorld, capsys: pytest.CaptureFixture[str]) -> None:
    small_world.take(*SmallWorld.STEPS)
    compared = small_world.engine.compared
    assert [path.name for path in FILES if not compared.has_run(path.read_text(encoding="utf-8"))] == []
    # No chain of the world lasts a day; literal rows have one.
    empty = {text for text, n_rows in compared.n_rows_of.items() if n_rows == 0}
    assert empty == {sql_file("cleaned.long_chain_events")}
    with capsys.disabled():
        print(f"\nsmall world: {compared}")


@pytest.mark.spark
def test_every_sql_file_ran_on_literal_rows(
    request: pytest.FixtureRequest, compared: Compared, capsys: pytest.CaptureFixture[str]
) -> None:
    tests = ROOT / "profile_pipeline_tests"
    wanted = {p for p in tests.rglob("test_*.py") if "engine: Engine" in p.read_text(encoding="utf-8")}
    if wanted - {item.path for item in request.session.items} or request.config.option.keyword:
        pytest.skip("only a part of the tests on literal rows was chosen; `pytest -m spark` chooses all")
    assert [path.name for path in FILES if not compared.has_run(path.read_text(encoding="utf-8"))] == []
    with capsys.disabled():
        print(f"\nliteral rows: {compared}")


def test_the_first_lines_of_sql_files_tell_them_apart() -> None:
    lines = [path.read_text(encoding="utf-8").splitlines()[0] for path in FILES]
    assert len(set(lines)) == len(FILES)
    assert all(line.startswith("-- ") for line in lines)
