import re

import pytest

from profile_pipeline.applications.dictionary import Entry, render_dictionary
from profile_pipeline.table import Column, Table
from profile_pipeline_tests.conftest import World

EVENTS = Table(
    "raw.events", grain="a record", key=("event_id",), columns=(Column("event_id", "VARCHAR", "编号 <id>", is_nullable=False), Column("price", "DECIMAL(18,4)", "price", "currency")),
)  # fmt: skip
DAYS = Table(
    "features.user_days", grain="a day of an alias", key=("event_date",), partition_column="event_date",
    columns=(Column("event_date", "DATE", "the day"), Column("amount", "DECIMAL(18,2)", "what was spent", "currency")),
)  # fmt: skip
PAGE = render_dictionary(
    [
        Entry(EVENTS, n_rows=1234),
        Entry(DAYS, reads=("raw.events",), sources={"amount": [("raw.events", "price"), ("raw.events", "no_column")]}),
    ],
    weeks=["2026-03-23"],
)


def test_a_column_has_type_unit_and_meaning_in_any_script() -> None:
    row = re.search(r'<tr id="raw.events.price">.*?</tr>', PAGE, re.S)
    assert row and "DECIMAL(18,4)" in row[0] and ">currency<" in row[0] and "price" in row[0]
    assert "编号 &lt;id&gt;" in PAGE
    assert "VARCHAR not null" in PAGE
    assert '<meta charset="utf-8">' in PAGE


def test_a_table_tells_grain_key_partition_and_rows() -> None:
    assert "A record." in PAGE and "<code>event_id</code>; not partitioned; <span" in PAGE and "1,234 rows" in PAGE
    assert "partitioned by <code>event_date</code>.</span>" in PAGE


def test_a_column_leads_to_what_it_comes_from_and_no_further() -> None:
    assert '<a href="#raw.events.price">raw.events.price</a>' in PAGE
    assert '{"features.user_days.amount": ["raw.events.price"]}' in PAGE
    assert "no_column" not in PAGE


def test_of_many_sources_the_first_are_told_and_the_others_counted() -> None:
    wide = Table(
        "raw.wide",
        grain="a record",
        key=(),
        columns=tuple(Column(f"c{i:02d}", "DOUBLE", "a number") for i in range(20)),
    )
    made = Table("models.made", grain="a model", key=(), columns=(Column("artifact", "BLOB", "the model"),))
    page = render_dictionary(
        [
            Entry(wide),
            Entry(made, reads=("raw.wide",), sources={"artifact": [("raw.wide", c) for c in wide.column_names]}),
        ]
    )
    row = re.search(r'<tr id="models.made.artifact">.*?</tr>', page, re.S)
    assert row
    assert re.findall(r">raw\.wide\.(c\d+)<", row[0]) == [f"c{i:02d}" for i in range(8)]
    assert "and 12 more</td>" in row[0]


def test_a_table_stands_between_what_it_reads_and_what_reads_it() -> None:
    drawing = re.search(r'<section id="raw.events">.*?</svg>', PAGE, re.S)
    places = dict(re.findall(r'<text x="([\d.]+)"[^>]*>([\w.]+)</text>', drawing[0]) if drawing else [])
    assert places == {"420.0": "raw.events", "730.0": "features.user_days"}


@pytest.fixture(scope="module")
def page(world: World) -> str:
    return (world.paths.reports / "dictionary.html").read_text(encoding="utf-8")


def test_the_dictionary_of_a_world_holds_every_table_and_column(page: str, world: World) -> None:
    columns = world.rows(
        "select schema_name || '.' || table_name || '.' || column_name from duckdb_columns() where not internal and schema_name <> 'main'"
    )
    missing = [name for (name,) in columns if f'<tr id="{name}">' not in page]
    assert len(columns) > 600
    assert missing == []


def test_every_link_within_the_dictionary_leads_somewhere(page: str) -> None:
    targets, links = set(re.findall(r' id="([^"]+)"', page)), set(re.findall(r'href="#([^"]+)"', page))
    assert len(links) > 600
    assert links <= targets


def test_the_dictionary_needs_no_network(page: str) -> None:
    assert "src=" not in page
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page


def test_the_way_of_a_column_goes_back_to_what_arrived(page: str) -> None:
    assert '"profiles.user_profiles.n_orders_all": ["features.behavior.n_orders_all"]' in page
    assert '"cleaned.events.order_id": ["raw.events.order_id"]' in page
    assert '"features.user_features.attribute_noise_01": ["cleaned.users.attributes"]' in page


def test_the_dictionary_counts_the_rows_of_the_newest_day(page: str, world: World) -> None:
    n, day = world.rows(
        "select count(*), as_of_date from profiles.user_profiles group by as_of_date order by as_of_date desc limit 1"
    )[0]
    assert f"{n:,} of the newest, {day}" in page
