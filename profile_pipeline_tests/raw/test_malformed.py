"""The malformed corpus beside the project: what becomes of every file, to the record and the reason."""

import datetime as dt
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from profile_pipeline.raw.readers.bytes import FileRefused
from profile_pipeline_tests.raw.test_readers import read, source

CORPUS = Path(__file__).parents[3] / "shared" / "malformed"
MANIFEST = json.loads((CORPUS / "corpus_manifest.json").read_text(encoding="utf-8")) if CORPUS.exists() else []
BY_FILE = {entry["file"]: entry for entry in MANIFEST}
here = pytest.mark.skipif(not MANIFEST, reason="the malformed corpus lies beside the project and is not here")

# What a person would set for such a file.
SETTINGS = {"c32_epoch.csv": {"time_format": "epoch"}, "p13_int_time.parquet": {"time_format": "ms"}}
REFUSED = {
    "c03_utf16le.csv": "wrong_encoding", "c04_gbk.csv": "wrong_encoding", "c14_missing_col_header.csv": "missing_column",
    "c17_no_header.csv": "missing_column", "c23_only_newlines.csv": "empty_file", "c44_pretends_csv.csv": "bad_header",
    "c45_html.csv": "missing_column", "g01_truncated.csv.gz": "damaged_compression", "g03_bitflip.csv.gz": "damaged_compression",
    "j22_empty.jsonl": "empty_file", "j25_gz_trunc.jsonl.gz": "damaged_compression", "p01_truncated.parquet": "damaged_parquet",
    "p03_bitflip_data.parquet": "damaged_parquet", "p04_bitflip_crc.parquet": "damaged_parquet", "p06_empty.parquet": "damaged_parquet",
    "p07_csv_as_parquet.parquet": "damaged_parquet", "p16_case_dup.parquet": "duplicate_column",
}  # fmt: skip
REASONS = {
    "c09_nul.csv": {"bad_text": 1}, "c10_nul_tail.csv": {"bad_text": 1}, "c16_long_row.csv": {"field_count": 1},
    "c19_header_twice.csv": {"repeated_header": 1}, "c31_truncated.csv": {"field_count": 1}, "c32_epoch.csv": {"bad_time": 3},
    "c34_numbers.csv": {"bad_number": 14}, "c35_quantity_overflow.csv": {"bad_number": 3}, "c40_missing_event_id.csv": {"missing_event_id": 1},
    "g07_trailing_garbage.csv.gz": {"field_count": 1}, "j03_bad_line.jsonl": {"bad_json": 1}, "j04_truncated.jsonl": {"bad_json": 1},
    "j06_lone_surrogate.jsonl": {"bad_text": 1}, "j07_nul_escape.jsonl": {"bad_text": 1}, "j12_scalars.jsonl": {"bad_json": 5},
    "j13_dup_keys.jsonl": {"duplicate_key": 1}, "j15_type_drift.jsonl": {"bad_time": 1, "not_a_value": 1},
    "j16_nan.jsonl": {"bad_json": 3, "bad_number": 1}, "j19_single_quotes.jsonl": {"bad_json": 1}, "j20_trailing_comma.jsonl": {"bad_json": 1},
    "j23_bigint.jsonl": {"bad_number": 2}, "j26_case_keys.jsonl": {"case_differs": 2}, "p09_price_string.parquet": {"bad_number": 5},
    "p15_bad_utf8.parquet": {"bad_encoding": 1},
}  # fmt: skip
# The manifest leaves these to us: what follows a file's end is a record of its own, that is rejected; a quantity has decimals and may
# be 0 or less; an event without a user counts for products; types of JSON follow the column; a hidden file is left to the landing rules.
OURS = {
    "c10_nul_tail.csv": (11, 10), "g07_trailing_garbage.csv.gz": (2001, 2000), "c34_numbers.csv": (20, 6), "c35_quantity_overflow.csv": (8, 5),
    "c37_unicode_ids.csv": (12, 12), "c38_dup_exact.csv": (14, 14), "j15_type_drift.jsonl": (10, 8), ".n08_hidden.csv": (10, 10),
}  # fmt: skip


@here
@pytest.mark.parametrize("name", [name for name in BY_FILE if name not in REFUSED])
def test_every_record_is_loaded_or_rejected_for_its_own_reason(name: str) -> None:
    n_records, rows, rejected = read(
        CORPUS / "corpus" / name, source(format=BY_FILE[name]["fmt"], **SETTINGS.get(name, {}))
    )
    assert (n_records, len(rows)) == OURS.get(name, (BY_FILE[name]["records"], BY_FILE[name]["good"]))
    assert Counter(r["reason_code"] for r in rejected) == REASONS.get(name, {})


@here
@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_bad_as_a_whole_is_refused_for_its_reason(name: str) -> None:
    with pytest.raises(FileRefused) as refused:
        read(CORPUS / "corpus" / name, source(format=BY_FILE[name]["fmt"]))
    assert refused.value.reason == REFUSED[name]
    assert BY_FILE[name]["file_bad"]


@here
def test_no_file_of_the_corpus_is_left_out() -> None:
    assert REFUSED.keys() | REASONS.keys() | OURS.keys() | SETTINGS.keys() <= BY_FILE.keys()


# Their records are others than those of the file that is right.
OTHER_RECORDS = ("c20", "c32", "c34", "c35", "c37", "c41", "g00", "g07", "j15", "p")


@here
@pytest.mark.parametrize("name", [n for n in BY_FILE if n not in REFUSED and not n.startswith(OTHER_RECORDS)])
def test_what_is_loaded_beside_damage_is_what_the_undamaged_file_says(name: str) -> None:
    def told(file: str) -> dict[str, tuple]:
        _, rows, _ = read(CORPUS / "corpus" / file, source(format=BY_FILE[file]["fmt"]))
        return {r["event_id"]: tuple(r[c] for c in ("user_id", "event_type", "event_time", "item_id", "price", "quantity")) for r in rows}  # fmt: skip

    right, found = told("c00_ok.csv"), told(name)
    assert len(found.keys() & right.keys()) >= 6
    assert {i: found[i] for i in found.keys() & right.keys()} == {i: right[i] for i in found.keys() & right.keys()}


@here
@pytest.mark.parametrize(("name", "encoding"), [("c03_utf16le.csv", "utf-16"), ("c04_gbk.csv", "gb18030")])
def test_a_file_in_another_encoding_is_read_once_its_source_says_so(name: str, encoding: str) -> None:
    n_records, rows, rejected = read(CORPUS / "corpus" / name, source(encoding=encoding))
    assert (n_records, len(rows), rejected) == (10, 10, [])


@here
def test_epochs_of_any_unit_are_the_same_moment() -> None:
    _, rows, _ = read(CORPUS / "corpus" / "c32_epoch.csv", source(time_format="epoch"))
    moment = dt.datetime(2026, 1, 1, 10)
    assert [row["event_time"] for row in rows] == [moment] * 4 + [moment.replace(microsecond=123000)]


@here
def test_numbers_are_taken_exactly_or_not_at_all() -> None:
    _, rows, _ = read(CORPUS / "corpus" / "c34_numbers.csv", source())
    assert [row["price"] for row in rows] == [
        Decimal("-5"),
        None,
        Decimal("10"),
        Decimal("7"),
        Decimal("0"),
        Decimal("5"),
    ]
