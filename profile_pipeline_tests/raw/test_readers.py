import datetime as dt
import gzip
import hashlib
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
import zstandard

from profile_pipeline.raw.mapping import check_source
from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline.raw.readers.evaluate import connect
from profile_pipeline.raw.readers.read import read_file
from profile_pipeline.source_settings import ListSettings, SourceSettings

COLUMNS = {
    "event_id": "event_id",
    "user_id": "user_id",
    "event_type": "event_type",
    "event_time": "event_time",
    "item_id": "item_id",
    "price": "price",
    "quantity": "quantity",
}
HEADER = "event_id,user_id,event_type,event_time,item_id,price,quantity"


def source(**more: object) -> SourceSettings:
    return SourceSettings(**{"table": "events", "path": "*", "format": "csv", "columns": COLUMNS} | more)


def read(path: Path, settings: SourceSettings) -> tuple[int, list[dict], list[dict]]:
    found = read_file(path, name="shop", source=settings, engine=connect())
    rows = [row for batch in found.batches for row in batch.to_pylist()]
    rejected = found.rejected.to_pylist()
    assert found.n_records == len(rows) + len(rejected)
    return found.n_records, rows, rejected


def written(tmp_path: Path, text: str | bytes, name: str = "f.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_record_is_typed(tmp_path: Path) -> None:
    path = written(tmp_path, f"{HEADER}\ne1,u1,cart,2026-01-02T10:00:00+08:00,p1,10.5,2\n")
    _, rows, _ = read(path, source(roles={"cart": "add_to_cart"}))
    assert rows[0]["event_time"] == dt.datetime(2026, 1, 2, 2)
    assert rows[0]["price"] == Decimal("10.5000")
    assert rows[0]["role"] == "add_to_cart"
    assert rows[0]["row_number"] == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",u1,view,2026-01-02T10:00:00Z,p1,1,1", "missing_event_id"),
        ("e1,u1,view,yesterday,p1,1,1", "bad_time"),
        ("e1,u1,view,2026-13-02T10:00:00Z,p1,1,1", "bad_time"),
        ("e1,u1,view,,p1,1,1", "missing_event_time"),
        ("e1,u1,view,2026-01-02T10:00:00Z,p1,free,1", "bad_number"),
        ("e1,u1,view,2026-01-02T10:00:00Z,p1,NaN,1", "bad_number"),
        ("e1,u1,view,2026-01-02T10:00:00Z,p1,１２,1", "bad_number"),
        ("e1,u1,view,2026-01-02T10:00:00Z,p1,1", "field_count"),
        ("e1,u1,view,2026-01-02T10:00:00Z,p1,1,1,1", "field_count"),
    ],
)
def test_a_bad_record_is_rejected_with_its_reason_and_the_others_are_loaded(
    tmp_path: Path, line: str, reason: str
) -> None:
    good = "e2,u1,view,2026-01-02T10:00:00Z,p1,1,1"
    n_records, rows, rejected = read(written(tmp_path, f"{HEADER}\n{line}\n{good}\n"), source())
    assert n_records == 2
    assert [(r["reason_code"], r["row_number"]) for r in rejected] == [(reason, 1)]
    assert [row["event_id"] for row in rows] == ["e2"]


def test_a_time_in_the_hour_that_spring_skips_is_rejected_and_autumns_is_the_first(tmp_path: Path) -> None:
    lines = "e1,u1,view,2026-03-29T02:30:00,p1,1,1\ne2,u1,view,2026-10-25T02:30:00,p1,1,1"
    _, rows, rejected = read(written(tmp_path, f"{HEADER}\n{lines}\n"), source(timezone="Europe/Berlin"))
    assert [r["reason_code"] for r in rejected] == ["bad_time"]
    assert rows[0]["event_time"] == dt.datetime(2026, 10, 25, 0, 30)


def test_a_file_without_a_mapped_column_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match="did you mean event_tme"):
        read(written(tmp_path, HEADER.replace("event_time", "event_tme") + "\n"), source())


def test_json_lines_are_strict_and_nested_fields_have_dotted_names(tmp_path: Path) -> None:
    good = {
        "event_id": "e1",
        "event_type": "view",
        "event_time": "2026-01-02T10:00:00Z",
        "context": {"device": {"id": "d1"}},
        "price": 1234567.891,
    }
    lines = [
        json.dumps(good),
        json.dumps(good)[:-3],
        json.dumps(good) * 2,
        '{"event_id": "a", "event_id": "b"}',
        '{"event_id": NaN}',
        "[]",
    ]
    columns = {
        "event_id": "event_id",
        "event_type": "event_type",
        "event_time": "event_time",
        "device_id": "context.device.id",
        "price": "price",
    }
    n_records, rows, rejected = read(
        written(tmp_path, "\n".join(lines) + "\n"), source(format="jsonl", columns=columns)
    )
    assert n_records == 6
    assert [r["reason_code"] for r in rejected] == ["bad_json", "bad_json", "duplicate_key", "bad_json", "bad_json"]
    assert (rows[0]["device_id"], rows[0]["price"]) == ("d1", Decimal("1234567.8910"))


def test_compression_is_told_by_content_and_damage_is_refused(tmp_path: Path) -> None:
    data = gzip.compress(f"{HEADER}\ne1,u1,view,2026-01-02T10:00:00Z,p1,1,1\n".encode())
    assert read(written(tmp_path, data, "no_suffix"), source())[0] == 1
    with pytest.raises(FileRefused, match="damaged_compression"):
        read(written(tmp_path, data[:-9], "cut"), source())


def test_identical_lines_are_numbered_where_each_counts(tmp_path: Path) -> None:
    text = "ts,action,uid\n" + "2026-01-02T10:00:00Z,view,u1\n" * 3
    columns = {"event_time": "ts", "event_type": "action", "user_id": "uid"}
    for identical, n_ids in (("one", 1), ("each", 3)):
        _, rows, _ = read(written(tmp_path, text), source(columns=columns, identical_records=identical))
        assert len({row["event_id"] for row in rows}) == n_ids


@pytest.mark.parametrize("identical", ["one", "each"])
def test_an_id_made_of_content_is_the_md5_of_source_fields_by_name_and_number(identical: str, tmp_path: Path) -> None:
    text = "what,at,it's\nview,2026-01-05,\u3000 é' \nview,2026-01-05,\nview , 2026-01-05,\u2003\n"
    settings = source(columns={"event_time": "at", "event_type": "what"}, identical_records=identical)
    _, records, _ = read(written(tmp_path, text), settings)
    fields = ["at=2026-01-05\x1fit's=é'\x1fwhat=view", *["at=2026-01-05\x1fwhat=view"] * 2]
    numbers = [0, 0, 1 if identical == "each" else 0]
    expected = [
        hashlib.md5(f"shop\x1e{text}\x1e{number}".encode()).hexdigest()
        for text, number in zip(fields, numbers, strict=True)
    ]
    assert [record["event_id"] for record in records] == expected


def test_expressions_are_evaluated_and_their_failures_are_rejects(tmp_path: Path) -> None:
    text = "id,day,clock,action\ne1,2026-01-02,10:00,view\ne2,2026-01-02,x,view\n"
    columns = {
        "event_id": "id",
        "event_time": "cast(strptime(day || ' ' || clock, '%Y-%m-%d %H:%M') as varchar)",
        "event_type": "action",
    }
    _, rows, rejected = read(written(tmp_path, text), source(columns=columns))
    assert rows[0]["event_time"] == dt.datetime(2026, 1, 2, 10)
    assert [r["reason_code"] for r in rejected] == ["bad_expression"]


@pytest.mark.parametrize(
    "text",
    [
        "(select 1)",
        "sum(price)",
        "read_csv('/etc/passwd')",
        "a; drop table x",
        "getenv('HOME')",
        "row_number() over ()",
        "$x",
        "random()",
        "uuid()",
        "today()",
        "current_date - 1",
        "version()",
    ],
)
def test_what_is_no_scalar_expression_is_refused(text: str) -> None:
    assert check_source("shop", source(columns=COLUMNS | {"city": text}))


def test_the_place_of_a_record_is_a_column_where_the_file_has_none_of_that_name(tmp_path: Path) -> None:
    settings = SourceSettings(
        table="users", path="*", format="csv", columns={"user_id": "'line ' || row_number"}, attributes=("age", "row_number")
    )  # fmt: skip
    _, rows, _ = read(written(tmp_path, "age\n31\n31\n"), settings)
    assert [r["user_id"] for r in rows] == ["line 1", "line 2"]
    assert [json.loads(r["attributes"]) for r in rows] == [{"age": "31", "row_number": str(n)} for n in (1, 2)]
    _, rows, _ = read(written(tmp_path, "age,row_number\n31,7\n"), settings)
    assert [r["user_id"] for r in rows] == ["line 7"]


def test_the_place_of_a_record_is_no_part_of_its_content(tmp_path: Path) -> None:
    columns = {"event_type": "what", "event_time": "at", "order_id": "'o' || row_number"}
    path = written(tmp_path, "what,at\nbuy,2026-01-02\nbuy,2026-01-02\n")
    _, rows, _ = read(path, source(columns=columns, attributes="all"))
    assert rows[0]["event_id"] == rows[1]["event_id"]
    assert rows[0]["properties"] is None


def test_attributes_may_be_expressions_by_name(tmp_path: Path) -> None:
    settings = SourceSettings(
        table="users", path="*", format="csv", columns={"user_id": "id"}, attributes={"age": "nullif(age, '-1')", "rate": "emp.var.rate"}
    )  # fmt: skip
    _, rows, _ = read(written(tmp_path, "id,age,emp.var.rate\na,-1,1.1\nb,40,\nc,-1, \n"), settings)
    assert [r["attributes"] and json.loads(r["attributes"]) for r in rows] == [{"rate": "1.1"}, {"age": "40"}, None]


def test_an_attribute_that_the_file_does_not_have_refuses_the_file(tmp_path: Path) -> None:
    settings = SourceSettings(table="users", path="*", format="csv", columns={"user_id": "id"}, attributes=("agee",))
    with pytest.raises(FileRefused, match="expected a column 'agee'; did you mean age"):
        read(written(tmp_path, "id,age\na,1\n"), settings)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gz", "zst"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_a_packed_file_is_read_as_it_is_unpacked(tmp_path: Path, pack: Callable[[bytes], bytes], encoding: str) -> None:
    text = f"{HEADER}\ne1,é,cart,2026-01-02T10:00:00Z,p1,10.5,2\n".encode(encoding)
    settings = source(encoding="latin-1" if encoding == "latin-1" else "utf-8")
    _, rows, _ = read(written(tmp_path, pack(text), "f.csv.packed"), settings)
    assert [(r["event_id"], r["user_id"]) for r in rows] == [("e1", "é")]
    lines = b'{"event_id": "e1", "event_type": "cart", "event_time": "2026-01-02T10:00:00Z"}\n'
    _, rows, _ = read(written(tmp_path, pack(lines), "f.jsonl.packed"), source(format="jsonl"))
    assert [r["event_id"] for r in rows] == ["e1"]


NAMELESS = {"event_type": "what", "event_time": "at"}


def test_a_lone_value_is_the_same_record_beside_one_that_holds_several(tmp_path: Path) -> None:
    one = '{"what": "buy", "at": "2026-01-02", "tags": "a"}\n'
    several = '{"what": "buy", "at": "2026-01-03", "tags": ["a", "b"]}\n'
    settings = source(format="jsonl", columns=NAMELESS | {"category": "tags"}, attributes="all")
    _, (alone,), _ = read(written(tmp_path, one), settings)
    _, (beside, other), _ = read(written(tmp_path, one + several), settings)
    told = [(r["event_id"], r["category"]) for r in (alone, beside)]
    assert told[0] == told[1] == (alone["event_id"], "a")
    assert other["category"] == '["a", "b"]'


def test_an_expression_reads_text_also_beside_a_record_that_holds_a_list(tmp_path: Path) -> None:
    columns = NAMELESS | {"category": "upper(tags)", "brand": "coalesce(brand, 'none')"}
    one = '{"what": "buy", "at": "2026-01-02", "tags": "a", "brand": "x"}\n'
    other = '{"what": "buy", "at": "2026-01-02", "tags": ["b", "c"], "brand": ["y"]}\n'
    _, rows, _ = read(written(tmp_path, one + other), source(format="jsonl", columns=columns))
    assert [(row["category"], row["brand"]) for row in rows] == [("A", "x"), ('["B", "C"]', "y")]


def test_attributes_do_not_depend_on_the_order_of_columns(tmp_path: Path) -> None:
    settings = SourceSettings(table="users", path="*", format="csv", columns={"user_id": "id"}, attributes="all")
    told = [
        read(written(tmp_path, text), settings)[1][0]["attributes"] for text in ("id,b,a\nu1,2,1\n", "a,id,b\n1,u1,2\n")
    ]
    assert told == ['{"a":"1","b":"2"}'] * 2


def test_a_hyphenated_name_is_a_column_also_where_no_record_has_it(tmp_path: Path) -> None:
    settings = source(format="jsonl", columns=NAMELESS | {"url": "page-url"})
    _, rows, rejected = read(written(tmp_path, '{"what": "buy", "at": "2026-01-02"}\n'), settings)
    assert [(r["url"], rejected) for r in rows] == [(None, [])]
    _, (row,), _ = read(written(tmp_path, '{"what": "buy", "at": "2026-01-02", "page-url": "/a"}\n'), settings)
    assert row["url"] == "/a"
    difference = source(columns=NAMELESS | {"quantity": "sold-returned"})
    _, (row,), _ = read(written(tmp_path, "what,at,sold,returned\nbuy,2026-01-02,5,2\n"), source(columns=difference.columns | {"quantity": "cast(sold as integer)-cast(returned as integer)"}))  # fmt: skip
    assert row["quantity"] == 3


def test_names_that_differ_by_case_only_keep_their_own_values(tmp_path: Path) -> None:
    path = written(tmp_path, "what,at,Brand,brand\nbuy,2026-01-02,X,y\n")
    _, (row,), _ = read(path, source(columns=NAMELESS | {"brand": "brand"}, attributes=("Brand", "brand")))
    assert (row["brand"], json.loads(row["properties"])) == ("y", {"Brand": "X", "brand": "y"})
    with pytest.raises(FileRefused, match="differ by case only"):
        read(path, source(columns=NAMELESS | {"brand": "upper(brand)"}))


@pytest.mark.parametrize(
    ("first_line", "told"),
    [
        ("at,13812345678,what,13812345678", "the header names twice: what stands at 2, 4"),
        ("at,what,at,David", "the header names twice: at"),
        ("David~13812345678~what", "The whole first line is one column: is `delimiter` right?"),
    ],
)
def test_a_first_line_that_may_be_a_record_is_refused_without_its_values(
    first_line: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(FileRefused) as refused:
        read(written(tmp_path, f"{first_line}\n1,2,3,4\n"), source(columns=NAMELESS))
    assert told in str(refused.value)
    assert [value for value in ("13812345678", "David") if value in str(refused.value)] == []


LOG = r'(?P<host>\S+) \S+ (?P<user>\S+) \[(?P<at>[^\]]+)\] "(?P<method>\S+) (?P<path>\S+)[^"]*" (?P<status>\d{3}) .*'


def test_lines_are_taken_apart_by_a_regular_expression(tmp_path: Path) -> None:
    text = '1.2.3.4 - - [02/Jan/2026:10:00:00 +0800] "GET /a?b=1 HTTP/1.1" 200 12\r\nrubbish\n\n5.6.7.8 - ann [02/Jan/2026:10:00:01 +0800] "GET /c HTTP/1.1" 404 -'
    columns = {
        "event_type": "method",
        "event_time": "at",
        "user_id": "user",
        "anonymous_id": "md5(host)",
        "url": "path",
    }
    settings = source(format="lines", pattern=LOG, columns=columns, time_format="%d/%b/%Y:%H:%M:%S %z")
    n_records, rows, rejected = read(written(tmp_path, text, "access.log"), settings)
    assert n_records == 3
    assert [(r["event_time"], r["user_id"], r["url"]) for r in rows] == [
        (dt.datetime(2026, 1, 2, 2), None, "/a?b=1"), (dt.datetime(2026, 1, 2, 2, 0, 1), "ann", "/c"),
    ]  # fmt: skip
    assert [(r["row_number"], r["reason_code"], r["record"]) for r in rejected] == [(2, "no_match", "rubbish")]


@pytest.mark.parametrize("pattern", [None, "(", r"(\S+) (\S+)"])
def test_a_pattern_that_gives_no_column_is_refused_with_the_configuration(pattern: str | None) -> None:
    with pytest.raises(ValueError, match="pattern: "):
        source(format="lines", pattern=pattern)


def test_lists_come_from_flags_or_a_separator(tmp_path: Path) -> None:
    path = written(tmp_path, "id,Action,Drama,genres\ni1,1,0,A|B\n")
    for setting, expected in (
        (ListSettings(flags=("Action", "Drama")), ["Action"]),
        (ListSettings(split="genres", on="|"), ["A", "B"]),
    ):
        _, rows, _ = read(
            path,
            SourceSettings(table="items", path="*", format="csv", columns={"item_id": "id", "categories": setting}),
        )
        assert rows[0]["categories"] == expected


@pytest.mark.parametrize("word", ["when", "order", "user", "group", "from", "用户"])
def test_a_column_may_have_a_name_that_sql_reserves(tmp_path: Path, word: str) -> None:
    mapped = source(columns=COLUMNS | {"city": word})
    assert check_source("shop", mapped) == []
    with pytest.raises(FileRefused, match=f"city: expected a column '{word}'"):
        read(written(tmp_path, "id,ts,action\ne1,2026-01-02T10:00:00Z,view\n"), mapped)
