"""Delimited text read by pieces against the same read record by record: equal rows and rejects, wherever a piece ends."""

import contextlib
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profile_pipeline.raw.readers import csv, csv_lossless, csv_pieces
from profile_pipeline.raw.readers.bytes import LONGEST_LINE_BYTES, FileRefused
from profile_pipeline.raw.readers.csv_lossless import RecordReader
from profile_pipeline.raw.readers.csv_pieces import PieceReader
from profile_pipeline.raw.readers.records import Rejects, UnsureError
from profile_pipeline.source_settings import SourceSettings
from profile_pipeline_tests.torture import examples

N_EXAMPLES = examples(300, torture=6_000)
SETTINGS = SourceSettings(table="users", path="*", format="csv", columns={"user_id": "a"})
DELIMITERS = (",", "，", ",,")
HEADERS: tuple[bool | tuple[str, ...], ...] = (True, False, ("a", "b", "c"))

PLAIN = st.text(alphabet="ab é\x85\u2028\ufeff", max_size=4)
ODD = st.text(alphabet='ab",\n\r\x00\x1f ', max_size=5)


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


CELLS = st.one_of(PLAIN, st.one_of(PLAIN, ODD).map(quoted), ODD)
LINES = st.lists(CELLS, min_size=1, max_size=4).map(",".join)
ROWS = st.lists(st.one_of(PLAIN, ODD.map(quoted)), min_size=3, max_size=3).map(",".join)
TABLES = st.tuples(
    st.one_of(st.lists(ROWS, max_size=12), st.lists(st.one_of(ROWS, LINES), max_size=12)),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
    st.booleans(),
).map(lambda t: (t[1].join(["a,b,c", *t[0]]) + (t[1] if t[2] else "")).encode())


@contextmanager
def pieces_of(n_bytes: int) -> Iterator[None]:
    """Read in small pieces, so that what lies across two of them is met; with such pieces, hold lines and records to small limits."""
    with pytest.MonkeyPatch.context() as patch:
        if n_bytes == 3:
            for module in (csv_pieces, csv_lossless):
                patch.setattr(module, "LONGEST_LINE_BYTES", 12)
                patch.setattr(module, "JOINED_BYTES", 9)
                patch.setattr(module, "JOINED_LINES", 3)
        patch.setattr(csv_pieces, "PIECE_BYTES", n_bytes)
        patch.setattr(csv_pieces, "SMALL_PIECE_BYTES", max(1, n_bytes // 4))
        yield


def in_all(reader: PieceReader | RecordReader, rejects: Rejects) -> tuple[list, list, int]:
    """The rows and the rejected records, each with its text, and how many were counted."""
    rows = [
        (number, batch.record_text(i), *(column[i].as_py() for column in batch.columns.values()))
        for batch in reader.batches()
        for i, number in enumerate(batch.row_numbers.to_pylist())
    ]
    numbers = sorted([*(row[0] for row in rows), *rejects.row_numbers])
    assert numbers == list(range(1, reader.n_records + 1))
    bad = sorted(zip(rejects.row_numbers, rejects.reasons, rejects.records, strict=True))
    return rows, bad, reader.n_records


def check_paths_agree(content: bytes, n_bytes: int, **more: object) -> None:
    source = SETTINGS.model_copy(update=more)
    with tempfile.TemporaryDirectory() as folder, pieces_of(n_bytes):
        path = Path(folder) / "f.csv"
        path.write_bytes(content)
        try:
            names = csv.header_of(path, source)
        except FileRefused:
            return
        rejects = Rejects()
        expected = in_all(RecordReader(path, source, names, rejects), rejects)
        rejects = Rejects()
        assert in_all(PieceReader(path, source, names, rejects), rejects) == expected
        rejects = Rejects()
        with contextlib.suppress(UnsureError):
            assert in_all(PieceReader(path, source, names, rejects, most_doubts=0), rejects) == expected


@pytest.mark.faults
@settings(max_examples=N_EXAMPLES)
@given(TABLES, st.sampled_from([1, 3, 16, 1 << 20]))
def test_both_paths_find_the_same_records(content: bytes, n_bytes: int) -> None:
    check_paths_agree(content, n_bytes)


@pytest.mark.faults
@settings(max_examples=N_EXAMPLES)
@given(
    TABLES,
    st.sampled_from([1, 3, 16, 1 << 20]),
    st.sampled_from(DELIMITERS),
    st.booleans(),
    st.sampled_from(HEADERS),
    st.sampled_from(["utf-8", "utf-16", "gb18030"]),
)
def test_both_paths_find_the_same_records_however_a_file_is_written(
    content: bytes, n_bytes: int, delimiter: str, has_quotes: bool, header: bool | tuple[str, ...], encoding: str
) -> None:
    text = content.decode().replace(",", delimiter).encode(encoding, "replace")
    check_paths_agree(text, n_bytes, delimiter=delimiter, has_quotes=has_quotes, header=header, encoding=encoding)


@pytest.mark.faults
@settings(max_examples=N_EXAMPLES)
@given(
    st.lists(st.binary(min_size=1, max_size=3), max_size=4),
    TABLES,
    st.lists(st.integers(8, 60), min_size=4, max_size=4),
    st.sampled_from([1, 16, 1 << 20]),
)
def test_both_paths_find_the_same_records_of_damaged_files(
    pieces: list[bytes], content: bytes, places: list[int], n_bytes: int
) -> None:
    for piece, place in zip(pieces, places, strict=False):
        content = content[:place] + piece + content[place:]
    check_paths_agree(content, n_bytes)


# ---- a file of several pieces, as they are cut when nothing is made smaller

N_ROWS, SEEDS = examples(30_000, torture=200_000), range(examples(1, torture=4))
TOO_LONG = "a," + "x" * LONGEST_LINE_BYTES + ",c"
LONGEST = "a," + "x" * (LONGEST_LINE_BYTES - 4) + ",c"
# One in two thousand: few enough that most of the file is read by pieces.
ODD_RECORDS = ("a,b", "a,b,c,d", 'a,"b"x,c', "a,\x00,c", 'a,"open,c', "a,\udcff,c", "", "a,b\rc,d")


def write_large(path: Path, n_rows: int, seed: int) -> None:
    """Write rows of some 900 bytes, three in ten with quoted line ends, the longest line allowed, and one that is too long."""
    chance = random.Random(seed)
    texts = ["".join(chance.choices("ab é用户,.\u2028\x85", k=chance.randrange(200, 800))) for _ in range(200)]
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write("a,b,c\n")
        for number in range(n_rows):
            if number == n_rows // 3:
                file.write(f"{LONGEST}\n")
            elif number == 2 * n_rows // 3:
                file.write(f"{TOO_LONG}\n")
            elif chance.random() < 0.0005:
                file.write(f"{chance.choice(ODD_RECORDS)}\n")
            text = chance.choice(texts)
            if chance.random() < 0.3:
                place = chance.randrange(len(text))
                text = text[:place] + chance.choice(("\n", "\r\n", '"\n"', "\n\n,")) + text[place:]
            last, end = chance.choice(("c", "", '"c"')), chance.choice(("\n", "\r\n"))
            file.write(f"{number},{quoted(text)},{last}{end}")


def hashes_in(reader: PieceReader | RecordReader, rejects: Rejects) -> tuple[list[tuple[int, int]], list[tuple], int]:
    """As `in_all`, but of each row a hash: there are too many to hold twice."""
    rows = [
        (number, hash((batch.record_text(i), *(column[i].as_py() for column in batch.columns.values()))))
        for batch in reader.batches()
        for i, number in enumerate(batch.row_numbers.to_pylist())
    ]
    bad = sorted(zip(rejects.row_numbers, rejects.reasons, map(hash, rejects.records), strict=True))
    return rows, bad, reader.n_records


@pytest.mark.faults
@pytest.mark.parametrize("seed", SEEDS)
def test_both_paths_find_the_same_records_of_a_large_file_with_line_ends_in_quotes_and_a_line_that_is_too_long(
    seed: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    path = tmp_path / "f.csv"
    write_large(path, N_ROWS, seed)
    assert path.stat().st_size > 2 * LONGEST_LINE_BYTES + 3 * csv_pieces.PIECE_BYTES
    names = csv.header_of(path, SETTINGS)
    rejects = Rejects()
    expected = hashes_in(RecordReader(path, SETTINGS, names, rejects), rejects)
    assert set(rejects.reasons) == {"too_long", "field_count", "bad_quotes", "bad_text", "open_quote", "bad_encoding"}
    rejects = Rejects()
    assert hashes_in(PieceReader(path, SETTINGS, names, rejects), rejects) == expected
    record_property("told", f"{N_ROWS:,} records a file")
