import json

import pytest

from profile_pipeline.raw.proposing.dialect import SampleError
from profile_pipeline.raw.proposing.propose import Proposal, propose
from profile_pipeline.raw.proposing.sample import has_fields_of, is_alike, sample_of_text
from profile_pipeline.raw.proposing.yaml_text import source_text

FAMILIES, CITIES = "王李张刘陈杨赵黄周吴", ("北京", "上海", "广州", "杭州")


def proposal_of(text: str, file_name: str = "file.csv", encoding: str = "utf-8", **options: str) -> Proposal:
    return propose(sample_of_text(text.encode(encoding), file_name), **options)


def lines(records: list[dict]) -> str:
    return "\n".join(map(json.dumps, records))


def of_orders(n: int = 20) -> str:
    rows = (f"{i},u{i % 7},s{i % 5},1,¥5.00,2026-01-{1 + i % 28:02d} 10:00:00\n" for i in range(n))
    return "order_id,user_id,sku,quantity,price,order_date\n" + "".join(rows)


@pytest.mark.parametrize("name", ["at", "t", "happened", "logged_ms", "x9"])
@pytest.mark.parametrize(("unit", "first"), [("s", 1767600000), ("ms", 1767600000000)])
def test_milliseconds_and_seconds_are_times_whatever_their_column_is_called(name: str, unit: str, first: int) -> None:
    records = [{"user": {"uid": f"u{i % 7}"}, name: first + i * 1000, "action": "view"} for i in range(40)]
    found = proposal_of(json.dumps(records), "a.json")
    assert (found.settings["columns"]["event_time"], found.settings["time_format"]) == (name, unit)


def test_a_time_that_no_name_tells_is_taken_with_a_note_that_it_was_guessed() -> None:
    records = [{"uid": f"u{i % 7}", "at": 1767600000000 + i, "action": "view"} for i in range(40)]
    assert "no name says when: at is taken, because it reads as a time" in proposal_of(lines(records), "a.jsonl").notes
    named = [{"uid": f"u{i % 7}", "time": 1767600000000 + i, "action": "view"} for i in range(40)]
    assert not any("no name says when" in note for note in proposal_of(lines(named), "a.jsonl").notes)


def test_of_two_columns_of_digits_that_read_as_times_neither_is_taken_and_both_are_told() -> None:
    records = [{"uid": f"u{i % 7}", "a": 1767600000 + i, "b": 1767600900 + i, "action": "view"} for i in range(40)]
    with pytest.raises(SampleError, match=r"Several read as times \(a, b\): name one of them event_time"):
        proposal_of(lines(records), "a.jsonl")


@pytest.mark.parametrize(
    ("name", "first"),
    [("parcel_id", 1500000000), ("at", 400000000)],
    ids=["an id that could be a time", "a time before 2000"],
)
def test_digits_that_are_hardly_the_time_of_an_event_are_not_taken(name: str, first: int) -> None:
    records = [{"uid": f"u{i % 7}", name: first + i, "action": "view"} for i in range(40)]
    with pytest.raises(SampleError, match="no column says when"):
        proposal_of(lines(records), "a.jsonl")


@pytest.mark.parametrize(
    ("what", "who", "which", "when"),
    [
        ("event.name", "actor.id", "object.sku", "event.occurred.at"), ("verb", "actor", "object", "happened"),
        ("verb.id", "subject.id", "object.id", "recorded.at"), ("event.action", "performer.id", "target.id", "logged.at"),
    ],
)  # fmt: skip
def test_who_did_what_to_which_thing_is_an_event(what: str, who: str, which: str, when: str) -> None:
    def nested(flat: dict) -> dict:
        tree: dict = {}
        for name, value in flat.items():
            *above, last = name.split(".")
            place = tree
            for part in above:
                place = place.setdefault(part, {})
            place[last] = value
        return tree

    records = [
        nested({what: ("view", "buy")[i % 2], who: f"u{i % 9}", which: f"s{i % 4}", when: f"2026-01-{1 + i % 28:02d}T10:00:00Z"})
        for i in range(60)
    ]  # fmt: skip
    found = proposal_of(lines(records), "a.jsonl").settings
    assert found["table"] == "events"
    assert found["columns"] == {"event_time": when, "event_type": what, "user_id": who, "item_id": which}


@pytest.mark.parametrize("n", [4, 100])
def test_people_in_chinese_without_a_header_are_people_and_their_names_are_left_out(n: int) -> None:
    rows = "".join(
        f"{1000 + i},{FAMILIES[i % 10]}{'伟芳娜敏静'[i % 5]},{'男女'[i % 2]},{1960 + 11 * i % 45}-03-{1 + i % 28:02d},{CITIES[i % 4]}\n"
        for i in range(n)
    )
    found = proposal_of(rows, "yonghu.csv", "gb18030")
    assert found.settings["header"] == ["id", "full_name", "gender", "birth_date", "column5"]
    assert found.settings["table"] == "users"
    assert found.settings["columns"] == {"user_id": "id", "gender": "gender", "birth_date": "birth_date"}
    assert found.settings["attributes"] == ["column5"]
    assert any("no header" in note for note in found.notes)


@pytest.mark.parametrize("time", ["2026-01-{1:02d} 10:{0:02d}:00", "17676{0:05d}", "2026-01-{1:02d}"])
@pytest.mark.parametrize("header", ["", "uid,xb,action,t\n"])
def test_genders_beside_ids_that_come_again_are_of_events(header: str, time: str) -> None:
    rows = (f"u{i % 15},{'mf'[i % 2]},do{i % 14},{time.format(i, 1 + i % 28)}\n" for i in range(60))
    assert proposal_of(header + "".join(rows)).settings["table"] == "events"


def test_a_column_of_genders_under_a_name_that_says_nothing_means_people() -> None:
    rows = "".join(f"{i},{'男女'[i % 2]},{1970 + i % 30}-01-02\n" for i in range(60))
    found = proposal_of("uid,xb,sr\n" + rows)
    assert (found.settings["table"], found.settings["columns"]["gender"]) == ("users", "xb")
    assert "no name says the gender: xb is taken, by what it holds" in found.notes


def test_the_table_that_was_chosen_is_told_with_the_columns_that_told_it_unless_it_was_given() -> None:
    text = "uid,action,ts\n" + "".join(f"u{i % 7},view,2026-01-{1 + i % 28:02d}T10:00:00Z\n" for i in range(40))
    said = "taken for events, by uid, ts, action; if it is another table, name it with --table."
    assert said in proposal_of(text).notes
    assert not any("taken for" in note for note in proposal_of(text, table="events").notes)


def test_items_that_come_again_and_again_with_times_are_doubted() -> None:
    rows = "".join(f"s{i % 5},{i},2026-01-{1 + i % 28:02d}T10:00:00Z\n" for i in range(60))
    found = proposal_of("sku,stock,updated_at\n" + rows)
    assert found.settings["table"] == "items"
    assert any(
        note.endswith("sku comes several times, with times: are these events of people?") for note in found.notes
    )


def test_what_changes_counts_and_what_signs_of_currency_are_taken_for_is_told() -> None:
    found = proposal_of(of_orders())
    assert (found.settings["identical_records"], found.currency) == ("each", "CNY")
    assert any("(identical_records: each)" in note for note in found.notes)
    assert "the sign beside amounts is taken for CNY" in found.notes


@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028"])
def test_no_name_of_a_column_ends_the_comment_that_tells_it(end: str) -> None:
    told = source_text("web", {"table": "events"}, [f"at{end}evil: 1 is taken"])
    assert told == "# at evil: 1 is taken\nweb:\n  table: events\n"


@pytest.mark.parametrize(
    ("known", "short", "is_so"),
    [
        ('{"uid": "u1", "at": 1, "sku": "a"}\n', '{"uid": "u2", "at": 2}\n', True),
        ('{"uid": "u1", "at": 1, "sku": "a"}\n', '{"uid": "u2", "name": "b"}\n', False),
        ("uid,at,sku\nu1,1,a\n", "uid,at\nu1,1\n", False),
        ("1,2,3\n4,5,6\n", "7,8,9\n", True),
        ("1,2,3\n4,5,6\n", "7,8\n", False),
        ("1,2,3\n4,5,6\n", "7;8;9\n", False),
    ],
)
def test_a_short_look_at_a_file_tells_its_kind_although_it_shows_fewer_fields(
    known: str, short: str, is_so: bool
) -> None:
    first, second = (sample_of_text(text.encode(), "x") for text in (known, short))
    assert is_alike(first, second) is is_so


@pytest.mark.parametrize(
    ("known", "other", "is_so"),
    [
        ('{"uid": "u1", "at": 1}\n', '{"uid": "u2", "at": 2, "sku": "a", "page": "b", "os": "c"}\n', True),
        ('{"uid": "u1", "at": 1}\n', '{"uid": "u2", "name": "b", "age": 3}\n', False),
        ("uid,at\nu1,1\n", "uid,at,sku\nu2,2,a\n", False),
    ],
)
def test_json_lines_of_which_one_lacks_fields_of_the_other_can_be_of_one_kind(
    known: str, other: str, is_so: bool
) -> None:
    first, second = (sample_of_text(text.encode(), "x") for text in (known, other))
    assert has_fields_of(first, second) is is_so


def test_headers_in_another_language_are_refused_with_the_languages_that_are_known_and_how_to_map_by_hand() -> None:
    rows = "".join(f"{i:06d};{1 + i % 28:02d}/01/2025;A{i % 9};2\n" for i in range(40))
    with pytest.raises(SampleError, match="known in English and Chinese: of another language describe the source"):
        proposal_of("Kundennummer;Bestelldatum;Artikelnummer;Menge\n" + rows, "Bestellungen.csv")
