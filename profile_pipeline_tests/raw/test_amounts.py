import csv
import io
from pathlib import Path

import pytest

from profile_pipeline.raw.proposing.propose import Proposal, propose
from profile_pipeline.raw.proposing.sample import sample_of_text
from profile_pipeline.raw.readers.trial import try_files


def text_of(header: str, *rows: str, delimiter: str) -> str:
    """A file of orders that has some more columns."""
    out = io.StringIO()
    lines = [["user_id", "order_date", *header.split("|")]]
    lines += [[f"u{i}", f"2026-01-{1 + i % 28:02d}", *row.split("|")] for i, row in enumerate(rows)]
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(lines)
    return out.getvalue()


def proposal_of(header: str, *rows: str, delimiter: str = ";") -> Proposal:
    text = text_of(header, *rows, delimiter=delimiter)
    return propose(sample_of_text(text.encode(), "orders.csv"))


def loaded(folder: Path, header: str, *rows: str, delimiter: str = ";") -> list[dict]:
    """What the proposed mapping makes of such a file."""
    file = folder / "orders.csv"
    file.write_text(text_of(header, *rows, delimiter=delimiter), encoding="utf-8")
    source = proposal_of(header, *rows, delimiter=delimiter).source()
    trial = try_files([file], name="orders", source=source, timezone="UTC", n_rows=100)
    assert not trial.refused, trial.examples
    return trial.rows


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("7.433,53 €", "7433.53"), ("€ -7.433,53", "-7433.53"), ("EUR 12,5", "12.5"), ("1\u202f234,56\u00a0€", "1234.56"), ("1.234.567", "1234567"),
        ("$1,234.50", "1234.50"), ("-$1,234.50", "-1234.50"), ("(74.50)", "-74.50"), ("($1,074.50)", "-1074.50"), ("(1.074,50 €)", "-1074.50"),
        ("1,23,456.00 ₹", "123456"), ("1'234.50 CHF", "1234.50"), ("74.50", "74.50"),
    ],
)  # fmt: skip
def test_an_amount_is_read_as_it_is_meant_however_it_is_written(tmp_path: Path, written: str, amount: str) -> None:
    (row,) = loaded(tmp_path, "type|price", f"order|{written}")
    assert f"{row['price']:.4f}" == f"{float(amount):.4f}"


def test_a_few_amounts_with_marks_among_many_plain_ones_are_read_as_well(tmp_path: Path) -> None:
    rows = loaded(tmp_path, "type|price", *["order|12.50"] * 25, "order|1,074.50", delimiter=",")
    assert float(rows[-1]["price"]) == 1074.5


@pytest.mark.parametrize(
    ("header", "row", "delimiter", "price", "told"),
    [
        ("type|price", "order|4.403", ";", 4403, "the point of 4.403 is taken to stand between thousands; if it stands before decimals, write: price"),
        ("type|price", "order|4,403", ";", 4403, "the comma of 4,403 is taken to stand between thousands; if it stands before decimals, write: replace(replace(price, '.', ''), ',', '.')"),
        ("type|price|tax", "order|4.403|0,50", ",", 4403, "the point of 4.403 is taken to stand between thousands, because other columns have decimal commas; if"),
        ("type|price|tax", "order|4,403|0,50", ";", 4.403, "the comma of 4,403 is taken to stand before decimals, because other columns have decimal commas; if"),
        ("type|price", "order|4.403", ",", 4.403, "the point of 4.403 is taken to stand before decimals; if it stands between thousands, write: replace("),
        ("type|price", "order|4,403", ",", 4403, None),
        ("type|price|total", "order|4.403|8.5", ";", 4.403, None),
    ],
)  # fmt: skip
def test_three_digits_behind_a_mark_are_thousands_or_decimals_by_the_rest_of_the_file_and_doubt_is_told(
    tmp_path: Path, header: str, row: str, delimiter: str, price: float, told: str | None
) -> None:
    assert float(loaded(tmp_path, header, row, delimiter=delimiter)[0]["price"]) == price
    notes = [n for n in proposal_of(header, row, delimiter=delimiter).notes if "can be read in two ways" in n]
    assert [told in note for note in notes] == ([True] if told else [])


def test_what_is_exact_to_three_decimals_and_no_amount_stays_as_it_is(tmp_path: Path) -> None:
    assert float(loaded(tmp_path, "sku|rating", "a|4.403", "b|3.871")[0]["value"]) == 4.403


def test_amounts_below_zero_are_what_is_given_back_where_nothing_else_says_it(tmp_path: Path) -> None:
    rows = loaded(tmp_path, "amount", "74.50", "(16.50)", "-3.00", delimiter=",")
    assert [(r["event_type"], float(r["value"])) for r in rows] == [("purchase", 74.5), ("return", 16.5), ("return", 3)]


def test_a_rating_below_zero_keeps_its_sign(tmp_path: Path) -> None:
    rows = loaded(tmp_path, "sku|rating", "a|-4.5", "b|3.25", delimiter=",")
    assert [float(r["value"]) for r in rows] == [-4.5, 3.25]


def test_what_looks_like_money_and_is_not_mapped_is_told() -> None:
    """Once: not also among what else is not mapped."""
    rows = [f"o{i}|{i}.50|kr 1{i},25|{i}.5|A{i}" for i in range(3)]
    notes = proposal_of("order_id|total|porto|weight_kg|bin", *rows, delimiter=",").notes
    assert [note for note in notes if note.startswith("not mapped")] == [
        "not mapped, though the values look like amounts of money: porto",
        "not mapped: weight_kg, bin",
    ]


def test_prices_below_zero_are_told_as_what_does_not_count() -> None:
    notes = proposal_of("type|price", "order|12.50", "order|(3.50)", delimiter=",").notes
    assert any(note.startswith("price holds prices below zero, and such an event does not count") for note in notes)


@pytest.mark.parametrize(
    ("written", "currency"), [("7.433,53 €", "EUR"), ("¥12", "CNY"), ("12.50 RMB", "CNY"), ("12.50", None)]
)
def test_the_sign_or_code_beside_amounts_names_their_currency(written: str, currency: str | None) -> None:
    assert proposal_of("type|price", f"order|{written}").currency == currency
