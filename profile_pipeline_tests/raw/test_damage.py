"""A corpus of our own: damaged, odd and hostile files, each with what becomes of its records."""

import bz2
import datetime as dt
import gzip
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import zstandard

from profile_pipeline.raw.readers import csv_lossless, csv_pieces, json_shapes, json_texts, jsonl, records
from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline_tests.raw.test_readers import COLUMNS, HEADER, read, source, written

ROW = "{0},u1,view,2026-01-02T10:00:00Z,p1,1,1"
OBJECT = {"event_id": "e1", "event_type": "view", "event_time": "2026-01-02T10:00:00Z"}
OF_JSON = {name: name for name in OBJECT}


def table(*lines: str, end: str = "\n") -> bytes:
    return (end.join([HEADER, *lines]) + end).encode()


def outcome(path: Path, **settings: Any) -> tuple[list[str], dict[str, int]]:
    """Which records are loaded, and how many are rejected for what; each record is one of them."""
    n_records, rows, rejected = read(path, source(**settings))
    assert n_records == len(rows) + len(rejected)
    numbers = sorted([r["row_number"] for r in rows] + [r["row_number"] for r in rejected])
    assert numbers == list(range(1, n_records + 1))
    return [row["event_id"] for row in rows], dict(Counter(r["reason_code"] for r in rejected))


GOOD = [ROW.format(f"e{i}") for i in range(1, 4)]
IDS = ["e1", "e2", "e3"]
DELIMITED: dict[str, tuple[bytes, list[str], dict[str, int]]] = {
    "bad bytes": (table(*GOOD, ROW.format("x").replace("u1", "\xff")).replace("\xff".encode(), b"\xff"), IDS, {"bad_encoding": 1}),
    "NULs": (table(*GOOD, ROW.format("x\x00")), IDS, {"bad_text": 1}),
    "control characters": (table(*GOOD, ROW.format("x\x07")), IDS, {"bad_text": 1}),
    "short and long rows": (table(GOOD[0], "x", GOOD[1], GOOD[0] + ",1", GOOD[2]), IDS, {"field_count": 2}),
    "columns in another order": (b"quantity,price,item_id,event_time,event_type,user_id,event_id\n1,1,p1,2026-01-02,view,u1,e1\n", ["e1"], {}),
    "an extra column": (b"extra," + table(*GOOD).replace(b"\n", b"\nz,").removesuffix(b"z,"), IDS, {}),
    "mixed line ends": ((HEADER + "\r\n" + GOOD[0] + "\n" + GOOD[1] + "\r" + GOOD[2]).encode(), IDS, {}),
    "blank lines before and between": (b"\n\n\r\n\n" + table(GOOD[0], "", "", *GOOD[1:]), IDS, {}),
    "a byte order mark": (b"\xef\xbb\xbf" + table(*GOOD), IDS, {}),
    "a quote that stays open": (table(GOOD[0], ROW.format('"x'), GOOD[1], GOOD[2]), IDS, {"open_quote": 1}),
    "text after a closing quote": (table(*GOOD, ROW.format('"x"y')), IDS, {"bad_quotes": 1}),
    "inches": (table(*GOOD, ROW.format('5" x 7"')), [*IDS, '5" x 7"'], {}),
    "two open quotes": (table(ROW.format('"x'), GOOD[0], ROW.format('"y'), *GOOD[1:]), IDS, {"open_quote": 2}),
    "the header again": (table(GOOD[0], HEADER, *GOOD[1:]), IDS, {"repeated_header": 1}),
    "the header only": (table(), [], {}),
    "no line end at the end": (table(*GOOD).rstrip(), IDS, {}),
    "cut within a line": (table(*GOOD, ROW.format("x"))[:-12], IDS, {"field_count": 1}),
    "a tail of NULs": (table(*GOOD) + b"\x00" * 5000, IDS, {"bad_text": 1}),
    "a long field": (table(*GOOD, ROW.format("x").replace("p1", "z" * 200_000)), [*IDS, "x"], {}),
    "a long quoted field": (table(*GOOD, ROW.format('5"').replace("p1", '"' + "z" * 200_000 + '"')), [*IDS, '5"'], {}),
    "carriage returns alone": (table(*GOOD, end="\r"), IDS, {}),
    "as many lines as a record may have": (table(*GOOD, ROW.format("x").replace("p1", '"' + "\n" * 999 + '"')), [*IDS, "x"], {}),
    "a line more than a record may have": (table(*GOOD, ROW.format("x").replace("p1", '"' + "\n" * 1_000 + '"')), IDS, {"open_quote": 2}),
    "a line more, and no end": (table(*GOOD, ROW.format("x").replace("p1", '"' + "\n" * 1_000 + '"'))[:-1], IDS, {"open_quote": 2}),
    "semicolons": (table(*GOOD).replace(b",", b";"), IDS, {}),
    "bars": (table(*GOOD).replace(b",", b"|"), IDS, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", DELIMITED)
def test_delimited_text(name: str, tmp_path: Path) -> None:
    content, ids, reasons = DELIMITED[name]
    assert outcome(written(tmp_path, content)) == (ids, reasons)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, zstandard.ZstdCompressor().compress])
def test_a_quoted_field_is_kept_to_the_byte_on_either_path(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    value = 'a "quoted"\r\n\r\n\nname, of\tsorts '
    told = value.replace('"', '""')
    line = ROW.format("e1").replace("p1", f'"{told}"')
    settings = source(columns=COLUMNS | {"item_id": "event_id", "query": "item_id"})
    for content in (table(line), table(line, ROW.format('5"'))):
        _, rows, rejected = read(written(tmp_path, pack(content)), settings)
        assert (rows[0]["query"], rejected) == (value.strip(), [])


REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "empty_file"),
    "line ends only": (b"\n\r\n\n", "empty_file"),
    "a column twice": (table(*GOOD).replace(b"user_id", b"event_id"), "duplicate_column"),
    "a column twice but for its case": (table(*GOOD).replace(b"price,quantity", b"price,quantity,PRICE"), "duplicate_column"),
    "a column missing": (table(*GOOD).replace(b"event_time", b"other"), "missing_column"),
    "UTF-16": (table(*GOOD).decode().encode("utf-16"), "wrong_encoding"),
    "no text at all": (b"\x89PNG\xff" + bytes(range(256)) * 4, "wrong_encoding"),
    "a first line without end": (b"z" * (2 << 20), "bad_header"),
    "control characters in the header": (table(*GOOD).replace(b"price", b"pri\x00ce"), "bad_header"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_delimited_file_that_is_bad_as_a_whole(name: str, tmp_path: Path) -> None:
    content, reason = REFUSED[name]
    with pytest.raises(FileRefused) as refused:
        outcome(written(tmp_path, content))
    assert refused.value.reason == reason


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_that_is_not_in_the_encoding_of_its_source_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match="wrong_encoding"):
        outcome(written(tmp_path, table(*GOOD)), format=kind, encoding="utf-16")


@pytest.mark.parametrize("has_quotes", [True, False])
def test_a_delimiter_may_be_a_letter_of_any_alphabet(has_quotes: bool, tmp_path: Path) -> None:
    content = table(*GOOD).replace(b",", "；".encode())
    assert outcome(written(tmp_path, content), delimiter="；", has_quotes=has_quotes) == (IDS, {})


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("n_beyond", [-1, 0, 1, 2, 3])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_line_that_is_about_as_long_as_may_be_costs_no_other(
    kind: str, n_beyond: int, end: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "jsonl" and end == b"\r":
        pytest.skip("lines of JSON end with a line feed")
    good = (
        [ROW.format(f"e{i}").encode() for i in range(1, 4)]
        if kind == "csv"
        else [line(event_id=f"e{i}").encode() for i in range(1, 4)]
    )
    longest = len(good[0])
    for module in (csv_lossless, csv_pieces, jsonl, json_shapes, json_texts):
        monkeypatch.setattr(module, "LONGEST_LINE_BYTES", longest)
    long = good[0].replace(b"e1", b"x" * (2 + n_beyond))
    head = [HEADER.encode()] if kind == "csv" else []
    content = end.join([*head, good[1], long, good[2], b""])
    expected = (["e2", "x" * (2 + n_beyond), "e3"], {}) if n_beyond <= 0 else (["e2", "e3"], {"too_long": 1})
    assert outcome(written(tmp_path, content), format=kind) == expected


def test_a_file_with_more_bad_records_than_can_be_held_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MOST_REJECTED", 5)
    assert outcome(written(tmp_path, table(*GOOD, *["x"] * 5))) == (IDS, {"field_count": 5})
    with pytest.raises(FileRefused, match="too_many_bad"):
        outcome(written(tmp_path, table(*GOOD, *["x"] * 6)))


@pytest.mark.parametrize("where", ["before", "between", "after"])
def test_megabytes_of_blank_lines_are_no_records(where: str, tmp_path: Path) -> None:
    blank = "\n" * (9 << 20)
    first, second = line(), line(event_id="e2")
    content = {
        "before": f"{blank}{first}\n{second}",
        "between": f"{first}{blank}{second}",
        "after": f"{first}\n{second}{blank}",
    }[where]
    assert outcome(written(tmp_path, content), format="jsonl", columns=OF_JSON) == (["e1", "e2"], {})


def line(**more: Any) -> str:
    return json.dumps(OBJECT | more, ensure_ascii=False)


JSON: dict[str, tuple[str, list[str], dict[str, int]]] = {
    "lines": (f"{line()}\n\n{line(event_id='e2')}", ["e1", "e2"], {}),
    "two objects on a line": (f"{line()}{line()}\n{line()}", ["e1"], {"bad_json": 1}),
    "a name twice": ('{"event_id": "x", "event_id": "y"}\n' + line(), ["e1"], {"duplicate_key": 1}),
    "a name twice further in": (line()[:-1] + ', "a": {"b": 1, "b": 2}}', [], {"duplicate_key": 1}),
    "deep nesting": ('{"a":' * 100_000 + "1" + "}" * 100_000 + "\n" + line(), ["e1"], {"bad_json": 1}),
    "deep lists": (line(a=0).replace("0}", "[" * 100_000 + "]" * 100_000 + "}") + "\n" + line(), ["e1"], {"bad_json": 1}),
    "infinity": (line(x=float("inf")) + "\n" + line(), ["e1"], {"bad_json": 1}),
    "a number that is none of ours": (line(event_time=1767348000) + "\n" + line(), ["e1"], {"bad_time": 1}),
    "an object for a value": (line(event_id={"id": "e1"}) + "\n" + line(), ["e1"], {"not_a_value": 1}),
    "another case": (line(EVENT_ID="e2") + "\n" + line(), ["e1"], {"case_differs": 1}),
    "an array in one line": (f"[{line()},{line(event_id='e2')}]", ["e1", "e2"], {}),
    "an array over lines": ("[\n" + json.dumps([OBJECT, OBJECT], indent=2)[1:], ["e1", "e1"], {}),
    "an array with what is no object": (f"[{line()}, 1, \"}}\", {line()}]", ["e1", "e1"], {"bad_json": 1}),
    "an array cut between records": (f"[{line()},\n{line()},\n", ["e1", "e1"], {"bad_json": 1}),
    "an array cut within a record": (f"[{line()},\n{line()[:-9]}", ["e1"], {"bad_json": 1}),
    "an array with a damaged record": (f"[{line()},\n{line()[:-9]},\n{line()}]", ["e1", "e1"], {"bad_json": 1}),
    "an empty array": ("[]", [], {"bad_json": 1}),
    "objects over lines": (json.dumps(OBJECT, indent=1) + "\n" + json.dumps(OBJECT, indent=1), ["e1", "e1"], {}),
    "braces in text": (json.dumps([OBJECT | {"x": '}]{["\\'}], indent=1), ["e1"], {}),
}  # fmt: skip


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, zstandard.ZstdCompressor().compress])
def test_nothing_that_is_packed_whole_is_no_record_and_nothing_else_is_refused(
    pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    json_lines = {
        "format": "jsonl",
        "columns": {"event_id": "event_id", "event_type": "event_type", "event_time": "event_time"},
    }
    assert outcome(written(tmp_path, pack(b"")), **json_lines) == ([], {})
    with pytest.raises(FileRefused, match="found nothing in it"):
        outcome(written(tmp_path, b""), **json_lines)


@pytest.mark.parametrize("name", JSON)
def test_json(name: str, tmp_path: Path) -> None:
    content, ids, reasons = JSON[name]
    assert outcome(written(tmp_path, content), format="jsonl", columns=OF_JSON) == (ids, reasons)


TIMES: dict[str, dict[str, dt.datetime | None]] = {
    "iso": {
        "2026-01-02T10:00:00+08:00": dt.datetime(2026, 1, 2, 2), "2026-01-02 10:00:00-0330": dt.datetime(2026, 1, 2, 13, 30),
        "2026-01-02T10:00:00.123456789Z": dt.datetime(2026, 1, 2, 10, 0, 0, 123456), "2026-01-02": dt.datetime(2026, 1, 2),
        "2024-02-29T00:00:00Z": dt.datetime(2024, 2, 29), "2023-02-29T00:00:00Z": None, "2016-12-31T23:59:60Z": None,
        "2026-01-02T24:00:00Z": None, "2026-01-02T10:00:00+25:00": None, "0001-01-01T00:00:00Z": None,
        "1899-12-30T00:00:00Z": dt.datetime(1899, 12, 30), "2999-01-01T00:00:00Z": None, "9999-12-31T23:59:59Z": None,
        "02/01/2026": None, "２０２６-01-02T10:00:00Z": None, "-2026-01-02T10:00:00Z": None,
    },
    "s": {"1767348000": dt.datetime(2026, 1, 2, 10), "1767348000.5": dt.datetime(2026, 1, 2, 10, 0, 0, 500000), "1e99999999": None, "NaN": None},
    "ms": {"1767348000123": dt.datetime(2026, 1, 2, 10, 0, 0, 123000), "1767348000123456": None},
    "us": {"1767348000123456": dt.datetime(2026, 1, 2, 10, 0, 0, 123456)},
    "ns": {"1767348000123456789": dt.datetime(2026, 1, 2, 10, 0, 0, 123457), "9" * 30: None},
    "epoch": {"1767348000": dt.datetime(2026, 1, 2, 10), "1767348000000": dt.datetime(2026, 1, 2, 10), "0": None, "-1": None, "2026": None},
}  # fmt: skip


@pytest.mark.parametrize("time_format", TIMES)
def test_a_time_is_that_moment_or_its_record_is_rejected(time_format: str, tmp_path: Path) -> None:
    told = TIMES[time_format]
    lines = [f"{n},u1,view,{text},p1,1,1" for n, text in enumerate(told)]
    # Alone in its file, and among others: values are converted one by one and many at once.
    for content in ([*lines], *([one] for one in lines), lines * 200):
        _, rows, rejected = read(written(tmp_path, table(*content)), source(time_format=time_format))
        found = {int(row["event_id"]): row["event_time"] for row in rows}
        expected = {n: moment for n, moment in enumerate(told.values()) if moment is not None}
        assert found.items() <= expected.items()
        assert len(rows) + len(rejected) == len(content)
        assert {r["reason_code"] for r in rejected} <= {"bad_time"}
        if len(content) > 1:
            assert found == expected


def test_times_around_the_change_of_clocks(tmp_path: Path) -> None:
    text = table(*(f"{hour},u1,view,2026-{hour}:30:00,p1,1,1" for hour in ("03-29T01", "03-29T02", "03-29T03", "10-25T01", "10-25T02", "10-25T03")))  # fmt: skip
    _, rows, rejected = read(written(tmp_path, text), source(timezone="Europe/Berlin"))
    assert [r["reason_code"] for r in rejected] == ["bad_time"]
    assert [row["event_time"].strftime("%d %H:%M") for row in rows] == ["29 00:30", "29 01:30", "24 23:30", "25 00:30", "25 02:30"]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("-5.00", Decimal("-5")), ("99999999999999", Decimal("99999999999999")), ("99999999999999.9999", Decimal("99999999999999.9999")),
        ("100000000000000", None), ("0.00005", Decimal("0.0001")), ("1e3", Decimal("1000")), ("1e400", None), ("1e-999999", Decimal("0")),
        ("NaN", None), ("-inf", None), ("1_000", None), ("1,000", None), ("0x10", None), ("１２", None), ("9" * 5000, None), ("", None),
    ],
)  # fmt: skip
def test_a_price_is_that_number_or_its_record_is_rejected(text: str, price: Decimal | None, tmp_path: Path) -> None:
    content = table(ROW.format("e1").replace("p1,1", f'p1,"{text}"'))
    _, rows, rejected = read(written(tmp_path, content), source())
    if price is None and text:
        assert [r["reason_code"] for r in rejected] == ["bad_number"]
    else:
        assert [row["price"] for row in rows] == [price]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030", "latin-1", "cp1252", "shift_jis"])  # fmt: skip
def test_bytes_that_are_not_of_the_encoding_reject_their_record(encoding: str, tmp_path: Path) -> None:
    text = table(*GOOD).decode()
    assert outcome(written(tmp_path, text.encode(encoding)), encoding=encoding) == (IDS, {})
    if encoding in ("gb18030", "shift_jis"):
        damaged = text.encode(encoding) + ROW.format("x").encode(encoding) + b"\x81\x20\n"
        assert outcome(written(tmp_path, damaged), encoding=encoding)[0] == IDS
    if encoding == "utf-16-le":
        lone = ROW.format("x").replace("p1", "\ud800").encode(encoding, "surrogatepass")
        damaged = text.encode(encoding) + lone + "\n".encode(encoding)
        assert outcome(written(tmp_path, damaged), encoding=encoding) == (IDS, {"bad_encoding": 1})


def packed_parts(pack: Callable[[bytes], bytes]) -> bytes:
    whole = table(*GOOD)
    return pack(whole[:70]) + pack(whole[70:])


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, zstandard.ZstdCompressor().compress])
def test_packed_files(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    assert outcome(written(tmp_path, packed_parts(pack))) == (IDS, {})
    content = pack(table(*(ROW.format(f"e{i}-{i * 7919 % 10007}") for i in range(2000))))
    for damaged in (content[: len(content) // 2], content[:-5]):
        with pytest.raises(FileRefused, match="damaged_compression"):
            outcome(written(tmp_path, damaged))
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0x10
    if pack is not zstandard.ZstdCompressor().compress and content[:4] != b"\x28\xb5\x2f\xfd":
        with pytest.raises(FileRefused, match="damaged_compression"):
            outcome(written(tmp_path, bytes(flipped)))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_what_follows_a_packed_file_is_a_rejected_record_and_no_secret(pack: Callable, tmp_path: Path) -> None:
    assert outcome(written(tmp_path, pack(table(*GOOD)) + b"rubbish")) == (IDS, {"field_count": 1})
    assert outcome(written(tmp_path, pack(table(*GOOD)) + b"\x00" * 512)) == (IDS, {})
    with pytest.raises(FileRefused, match="damaged_compression"):
        outcome(written(tmp_path, pack(table(*GOOD)) + b"rubbish" * 20_000))


@pytest.mark.faults
@pytest.mark.parametrize(
    ("kind", "pack"),
    [("csv", gzip.compress), ("jsonl", gzip.compress), ("jsonl", bz2.compress), ("jsonl", zstandard.ZstdCompressor().compress)],
)  # fmt: skip
def test_a_bomb_is_refused_before_it_fills_the_memory(pack: Callable, kind: str, tmp_path: Path) -> None:
    bomb = pack(b"0" * (300 << 20))
    path = written(tmp_path, pack(table(*GOOD)) + bomb if kind == "csv" else bomb)
    tracemalloc.start()
    with pytest.raises(FileRefused, match=r"unpacks_too_large|bad_header"):
        outcome(path, format=kind, columns=COLUMNS if kind == "csv" else OF_JSON)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300 << 20


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_line_of_300_megabytes_is_one_rejected_record_in_bounded_memory(kind: str, tmp_path: Path) -> None:
    good = table(*GOOD) if kind == "csv" else (line() + "\n").encode() * 3
    more = (ROW.format("e4") if kind == "csv" else line()).encode()
    with (path := tmp_path / "long").open("wb") as file:
        file.write(good)
        for _ in range(300):
            file.write(b"z" * (1 << 20))
        file.write(b"\n" + more + b"\n")
    tracemalloc.start()
    ids, reasons = outcome(path, format=kind, columns=COLUMNS if kind == "csv" else OF_JSON)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(ids), reasons) == (4, {"too_long": 1})
    assert peak < 250 << 20
