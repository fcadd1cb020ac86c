"""Delimited text as people write it: delimiters, quotes, encodings, line ends and tabs where none is expected."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from profile_pipeline.raw.readers.csv_pieces import PieceReader
from profile_pipeline.raw.readers.evaluate import connect
from profile_pipeline.raw.readers.read import read_file
from profile_pipeline.raw.readers.records import Rejects, UnsureError
from profile_pipeline.source_settings import ListSettings, SourceSettings
from profile_pipeline_tests.raw.test_readers import HEADER, read, source, written


@pytest.mark.parametrize(
    ("encoding", "delimiter"), [("utf-8", ";"), ("gb18030", ","), ("utf-16", "\t"), ("latin-1", "|"), ("utf-8", "::")]
)
def test_delimiters_and_encodings(tmp_path: Path, encoding: str, delimiter: str) -> None:
    word = "café" if encoding == "latin-1" else "面霜"
    text = f"{HEADER}\ne1,{word},view,2026-01-02T10:00:00Z,p1,1,1\n".replace(",", delimiter)
    _, rows, rejected = read(written(tmp_path, text.encode(encoding)), source(encoding=encoding, delimiter=delimiter))
    assert (rejected, rows[0]["user_id"]) == ([], word)


@pytest.mark.parametrize("is_lossless", [False, True])
def test_the_text_of_a_rejected_record_is_the_record_as_it_stood(tmp_path: Path, is_lossless: bool) -> None:
    line = 'e1,u1,"cart, ""x""",never,,1,2'
    path = written(tmp_path, f"{HEADER}\n{line}\n")
    found = read_file(path, name="shop", source=source(), engine=connect(), is_lossless=is_lossless)
    assert [batch.num_rows for batch in found.batches] == [0]
    assert found.rejected.column("record").to_pylist() == [line]


def test_quoted_line_ends_stay_in_their_record(tmp_path: Path) -> None:
    n_records, rows, _ = read(
        written(
            tmp_path,
            f'{HEADER}\r\ne1,"u\r\n1",view,2026-01-02T10:00:00Z,p1,1,1\r\ne2,u2,view,2026-01-02T10:00:00Z,p1,1,1\r\n',
        ),
        source(),
    )
    assert n_records == 2
    assert len(rows) + 1 >= 2


FILMS = SourceSettings(
    table="items", path="*", format="csv", delimiter="::", header=("film", "title", "genres"), encoding="latin-1",
    columns={"item_id": "film", "title": "title", "categories": ListSettings(split="genres", on="|")},
)  # fmt: skip


def test_a_delimiter_of_several_characters_parts_fields_that_hold_quotes_and_its_own_letters(tmp_path: Path) -> None:
    text = '1::"Am\xe9lie": a tale::Comedy|Romance\n2::12" of: rain\x85::Drama\n3::too few\n4::Seven (1995)::Crime|Thriller\n'
    n_records, rows, rejected = read(written(tmp_path, text.encode("latin-1")), FILMS)
    assert n_records == 4
    assert [(r["item_id"], r["title"], r["categories"]) for r in rows] == [
        ("1", '"Amélie": a tale', ["Comedy", "Romance"]), ("2", '12" of: rain', ["Drama"]), ("4", "Seven (1995)", ["Crime", "Thriller"]),
    ]  # fmt: skip
    assert [(r["row_number"], r["reason_code"], r["record"]) for r in rejected] == [(3, "field_count", "3::too few")]


@pytest.mark.parametrize("n_lines", [1, 40_000])
@pytest.mark.parametrize("oddity", ["", "\x1f"])
def test_both_paths_agree_on_delimiters_of_several_characters(tmp_path: Path, n_lines: int, oddity: str) -> None:
    lines = "".join(
        f'{i}::film {i}{oddity if i == n_lines // 2 else ""}, a "title" of some length::Drama\n' for i in range(n_lines)
    )
    path = written(tmp_path, lines)
    engine = connect()
    slow = read_file(path, name="films", source=FILMS, engine=engine, is_lossless=True)
    expected = [row for batch in slow.batches for row in batch.to_pylist()]
    fast = read_file(path, name="films", source=FILMS, engine=engine)
    assert [row for batch in fast.batches for row in batch.to_pylist()] == expected
    sure = read_file(path, name="films", source=FILMS, engine=engine, most_doubts=0)
    with pytest.raises(UnsureError, match="0x1f") if oddity else nullcontext():
        assert [row for batch in sure.batches for row in batch.to_pylist()] == expected


@pytest.mark.parametrize(("n_mb_between", "is_apart"), [(9, False), (2, True)])
def test_a_few_doubts_are_read_here_wherever_in_a_large_file_and_more_of_them_apart(
    n_mb_between: int, is_apart: bool, tmp_path: Path
) -> None:
    line = "e1,u1,view,2026-01-02T10:00:00Z,p1,1,1\n"
    between = line * ((n_mb_between << 20) // len(line))
    path = written(tmp_path, HEADER + "\n" + (between + line.replace("p1", 'p"1\r2')) * 3 + line)
    rejects = Rejects()
    reader = PieceReader(path, source(), HEADER.split(","), rejects, most_doubts=0)
    with pytest.raises(UnsureError) if is_apart else nullcontext():
        n = sum(len(batch.row_numbers) for batch in reader.batches())
        assert n + len(rejects.reasons) == reader.n_records
        assert reader.n_records > 3 * len(between) // len(line)


def test_a_quote_is_a_letter_where_the_source_says_so(tmp_path: Path) -> None:
    settings = SourceSettings(
        table="items", path="*", format="tsv", has_quotes=False, columns={"item_id": "id", "title": "name"}
    )
    _, rows, rejected = read(written(tmp_path, 'id\tname\n1\t"Weird Al"\n2\tan open " one\n3\t"\n'), settings)
    assert [r["title"] for r in rows] == ['"Weird Al"', 'an open " one', '"']
    assert rejected == []


def test_a_tab_between_commas_is_a_part_of_a_columns_name(tmp_path: Path) -> None:
    path = written(tmp_path, f"{HEADER},\t=1\ne1,u1,cart,2026-01-02T10:00:00Z,p1,10.5,2,x\n")
    (_, (row,), _) = read(path, source(attributes="all"))
    assert (row["event_id"], json.loads(row["properties"])) == ("e1", {"\t=1": "x"})


def test_a_tab_or_worse_in_the_first_record_of_a_file_without_a_header_is_told_of_the_record(tmp_path: Path) -> None:
    columns = {"event_id": "column1", "event_type": "column2", "event_time": "column3", "query": "column4"}
    path = written(
        tmp_path, "".join(f"e{i},search,2026-01-02T10:00:00Z,{q}\n" for i, q in enumerate(("a\tb", "c\x07", "d")))
    )
    _, rows, rejected = read(path, source(columns=columns, header=False))
    assert [row["event_id"] for row in rows if row["query"]] == ["e0", "e2"]
    assert [row["row_number"] for row in rejected] == [2]


def test_records_of_too_few_fields_and_others_that_are_no_text_do_not_make_pieces_small(tmp_path: Path) -> None:
    lines = [f"e{n},u1,view,2026-01-02T10:00:00Z,p1,1,1".encode() for n in range(3_000)]
    lines[500::1_000] = [b"e,u1"] * 3
    lines[700::1_000] = [b"e,u\xff\xfe,view,2026-01-02T10:00:00Z,p1,1,1"] * 3
    path = written(tmp_path, b"\n".join([HEADER.encode(), *lines, b""]))
    rejects = Rejects()
    reader = PieceReader(path, source(), HEADER.split(","), rejects, most_doubts=0)
    assert [len(batch.row_numbers) for batch in reader.batches()] == [2_994]
    assert sorted(rejects.reasons) == ["bad_encoding"] * 3 + ["field_count"] * 3
