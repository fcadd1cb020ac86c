import datetime as dt
import json
from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from profile_pipeline.raw.proposing.dialect import SampleError, dialect_of, encoding_of
from profile_pipeline.raw.proposing.event_types import role_of, roles_for
from profile_pipeline.raw.proposing.naming import pattern_of, source_name
from profile_pipeline.raw.proposing.propose import propose
from profile_pipeline.raw.proposing.sample import sample_of_text
from profile_pipeline.raw.proposing.starter import calendar_of, calendar_without_events
from profile_pipeline.raw.proposing.yaml_text import InsertError, insert_sources, scalar, source_text
from profile_pipeline.raw.readers.sampling import sample_of
from profile_pipeline.raw.readers.trial import try_files
from profile_pipeline.raw.roles import ROLES


def proposed(text: str, file_name: str = "file.csv", encoding: str = "utf-8", **options: str) -> dict:
    return propose(sample_of_text(text.encode(encoding), file_name), **options).settings


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("id,名称\n1,面霜\n", "utf-8"),
        ("id,名称\n1,面霜\n2,口红\n", "gb18030"),
        ("名称,单价\n面霜,¥5\n口红,¥7\n", "gb18030"),
        ("id,title\n1,Les Misérables\n2,Café Society\n", "latin-1"),
        ("id,price\n1,5 €\n2,7 €\n", "cp1252"),
        ("id,名称\n1,面霜\n", "utf-16"),
    ],
)
def test_the_encoding_is_told_from_the_bytes(text: str, encoding: str) -> None:
    assert encoding_of(text.encode(encoding)) == encoding


def test_one_bad_byte_does_not_make_another_encoding_of_utf_8() -> None:
    assert encoding_of("面霜,口红,价格,商品\n".encode() * 5 + b"\xff\n") == "utf-8"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "::", "||", "\x01"])
def test_the_delimiter_and_the_header_are_told_from_the_lines(delimiter: str) -> None:
    text = "".join(
        delimiter.join(row) + "\n" for row in (["user_id", "title part", "stars"], ["1", "a b", "3"], ["2", "c d", "4"])
    )
    dialect = dialect_of(text, "utf-8", Path("file.csv"))
    assert (dialect.separator, dialect.has_header, dialect.n_fields) == (delimiter, True, 3)


def test_a_tab_before_each_long_number_is_no_delimiter_where_the_header_has_none_and_no_part_of_the_id(
    tmp_path: Path,
) -> None:
    rows = "".join(f"\t{10**15 + i},u{i},2025-03-{1 + i:02d},0.50\n" for i in range(20))
    file = tmp_path / "orders.csv"
    file.write_text("order_id,user_id,order_date,total\n" + rows, encoding="utf-8")
    found = propose(sample_of_text(file.read_bytes(), file.name))
    assert (found.settings["format"], found.settings.get("delimiter")) == ("csv", None)
    trial = try_files([file], name="orders", source=found.source(), timezone="UTC", n_rows=1)
    assert (trial.rows[0]["order_id"], trial.rows[0]["user_id"], trial.n_loaded) == ("1000000000000000", "u0", 20)


@pytest.mark.parametrize(
    ("word", "role"),
    [
        ("pageview", "view"), ("点击", "view"), ("加入购物车", "add_to_cart"), ("移出购物车", "remove_from_cart"), ("Order Completed", "purchase"), ("buy", "purchase"),
        ("退款", "refund"), ("order_returned", "refund"), ("收藏", "follow"), ("fav", "follow"), ("搜索", "search"), ("rating", "rate"), ("scrobble", "play"),
        ("log_in", "sign_in"), ("heartbeat", "other"), ("generate", "other"), ("view_cart", "other"), ("Cart Viewed", "other"),
        ("add_payment_info", "other"), ("Payment Info Entered", "other"), ("Order Updated", "other"), ("app_remove", "other"),
    ],
)  # fmt: skip
def test_the_role_of_an_event_is_told_from_its_name(word: str, role: str) -> None:
    assert role_of(word) == role


@given(st.text(max_size=30))
def test_every_name_has_a_role_of_the_closed_list(word: str) -> None:
    assert role_of(word) in ROLES


def test_roles_that_common_trackers_have_anyway_are_not_written() -> None:
    assert roles_for(["page_view", "加购"], {}) == {"加购": "add_to_cart"}


def test_what_trackers_record_by_themselves_is_not_asked_about() -> None:
    proposal = propose(sample_of_text(b"user_id,event,time\nu1,scroll,2026-01-02\nu2,scroll,2026-01-03\n", "ga.csv"))
    assert proposal.with_roles_of(["session_start", "first_visit", "user_engagement", "scroll"]) == proposal


def test_chinese_events_are_mapped_with_roles_and_chinas_time() -> None:
    text = (
        "用户ID,事件,时间,商品ID,价格,数量\nu1,浏览,2026-01-02 10:00:00,p1,5.5,1\nu2,购买,2026-01-02 11:00:00,p2,7,2\n"
    )
    proposal = propose(sample_of_text(text.encode("gb18030"), "日志.csv"))
    assert proposal.settings["encoding"] == "gb18030"
    assert proposal.settings["columns"] == {
        "event_time": "时间", "event_type": "事件", "user_id": "用户ID", "item_id": "商品ID", "quantity": "数量", "price": "价格",
    }  # fmt: skip
    assert proposal.is_chinese and proposal.has_naive_times
    assert proposal.with_roles_of(["浏览", "购买"]).settings["roles"] == {"浏览": "view", "购买": "purchase"}


def test_users_in_chinese_are_users() -> None:
    found = proposed("用户编号,性别,年龄,城市,注册时间\n1,男,30,上海,2025-01-01\n2,女,25,北京,2025-02-01\n")
    assert found["table"] == "users"
    assert found["columns"] == {"user_id": "用户编号", "gender": "性别", "city": "城市", "registered_at": "注册时间"}


def test_ids_that_went_through_floats_lose_the_point() -> None:
    found = proposed("user_id,sku_id,time,type\n" + "266079.0,138778,2016-01-31 23:59:02,1\n" * 3)
    assert found["columns"]["user_id"] == "regexp_replace(user_id, '[.]0$', '')"
    assert found["columns"]["item_id"] == "sku_id"


def test_lines_of_orders_count_each_and_what_is_negative_is_a_return() -> None:
    text = (
        "OrderNo,SKU,Qty,OrderDate,UnitPrice,CustomerNo\n"
        + "1,a,2,2026-01-02 10:00,5,c1\n2,a,-1,2026-01-03 10:00,5,c1\n"
    )
    found = proposed(text)
    assert found["identical_records"] == "each"
    assert (
        found["columns"]["event_type"]
        == "case when cast(nullif(trim(Qty), '') as bigint) < 0 then 'return' else 'order' end"
    )
    assert found["columns"]["quantity"] == "abs(cast(nullif(trim(Qty), '') as bigint))"


@pytest.mark.parametrize(
    ("price", "expression", "currency"),
    [
        ("£3.39", "regexp_replace(Price, '[^0-9.-]', '', 'g')", "GBP"),
        ("¥12", "regexp_replace(Price, '[^0-9.-]', '', 'g')", "CNY"),
        ('"1,234.50"', "regexp_replace(Price, '[^0-9.-]', '', 'g')", None),
        ('"12,50"', "replace(replace(Price, '.', ''), ',', '.')", None),
    ],
)
def test_prices_with_signs_are_made_plain(price: str, expression: str, currency: str | None) -> None:
    text = (
        "UserID,Event,Timestamp,ItemID,Price\n"
        + f"u1,view,2026-01-02T10:00:00Z,p1,{price}\nu2,buy,2026-01-02T10:00:00Z,p2,{price}\n"
    )
    proposal = propose(sample_of_text(text.encode(), "x.csv"))
    assert (proposal.settings["columns"]["price"], proposal.currency) == (expression, currency)


def test_the_names_of_trackers_are_known() -> None:
    segment = {"messageId": "m1", "type": "track", "event": "Order Completed", "timestamp": "2026-01-02T10:00:00Z", "userId": "u1", "anonymousId": "a1",
               "context": {"page": {"url": "https://a.b/c"}, "device": {"id": "d1"}}, "properties": {"product_id": "p1", "price": 3.5}}  # fmt: skip
    found = proposed("".join(json.dumps(segment | {"messageId": f"m{i}"}) + "\n" for i in range(5)), "segment.jsonl")
    assert found["columns"] == {
        "event_time": "timestamp", "event_type": "coalesce(nullif(event, ''), type)", "user_id": "userId", "anonymous_id": "anonymousId",
        "device_id": "context.device.id", "event_id": "messageId", "item_id": "properties.product_id", "price": "properties.price", "url": "context.page.url",
    }  # fmt: skip
    ga4 = {
        "event_timestamp": 1767225600000000,
        "event_name": "purchase",
        "user_pseudo_id": "x.1",
        "device": {"category": "mobile"},
        "geo": {"country": "China"},
    }
    found = proposed("".join(json.dumps(ga4) + "\n" for _ in range(5)), "ga4.jsonl")
    assert found["time_format"] == "us"
    assert found["columns"] == {
        "event_time": "event_timestamp", "event_type": "event_name", "anonymous_id": "user_pseudo_id", "device_type": "device.category", "country": "geo.country",
    }  # fmt: skip


def test_names_that_read_like_expressions_are_quoted() -> None:
    found = proposed(
        "Customer ID,Price ($),Event Time,Action\n1,2.5,2026-01-02T10:00:00Z,view\n2,3.5,2026-01-02T10:00:00Z,buy\n"
    )
    assert found["columns"]["user_id"] == "Customer ID"
    assert found["columns"]["event_time"] == "Event Time"


def test_genres_in_one_column_and_in_flags_become_lists() -> None:
    assert proposed("movieId,title,genres\n1,A,Drama|War\n2,B,Drama\n3,C,War|Drama\n")["columns"]["categories"] == {
        "split": "genres",
        "on": "|",
    }
    flags = proposed("item_id,title,drama,war,love\n1,A,1,0,0\n2,B,0,1,1\n3,C,1,1,0\n")["columns"]["categories"]
    assert flags == {"flags": ["drama", "war", "love"]}


def test_who_a_person_is_in_clear_is_left_out() -> None:
    proposal = propose(
        sample_of_text(b"id,first_name,email,age,ssn\n1,Ann,a@b.cn,30,9\n2,Bob,b@b.cn,31,8\n", "people.csv")
    )
    assert proposal.settings["columns"] == {"user_id": "id", "email_hash": "email"}
    assert proposal.settings["attributes"] == ["age"]
    assert "left out, because they name the person: first_name, ssn" in proposal.notes


def test_two_columns_of_users_are_relations_and_a_campaign_with_a_control_group_contacts() -> None:
    assert proposed("userID,friendID\n2,275\n2,428\n")["columns"] == {"user_id": "userID", "other_user_id": "friendID"}
    found = proposed(
        "campaign,user_id,offer,is_treated,contacted_at\nspring,u1,a,true,2026-01-02T10:00:00Z\nspring,u2,a,false,2026-01-02T10:00:00Z\n"
    )
    assert found["table"] == "contacts"


def test_a_file_without_header_is_named_by_what_it_holds() -> None:
    rows = "".join(f"u{i % 15},i{i % 14},{1 + i % 5},{1767225600 + i}\n" for i in range(60))
    found = proposed(rows, "x.csv")
    assert found["header"] == ["user_id", "item_id", "rating", "timestamp"]
    assert (found["time_format"], found["columns"]["value"]) == ("s", "rating")


def test_without_a_header_ages_are_no_ids_and_years_of_schooling_no_ages() -> None:
    rows = "".join(
        f"{17 + i % 70}, {['Private', 'State-gov'][i % 2]}, {1 + i % 16}, {'Fe' * (i % 3 == 0)}male\n"
        for i in range(200)
    )
    found = propose(sample_of_text(rows.encode(), "people.data"), table="users").settings
    assert (found["header"], found["columns"]["user_id"]) == (["age", "column2", "column3", "gender"], "row_number")


def test_the_census_file_has_the_names_of_its_documentation() -> None:
    row = "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, 2174, 0, 40, United-States, <=50K\n"
    found = proposed(row * 30, "adult.data", table="users")
    assert (found["header"][0], found["header"][-1], found["columns"]["gender"]) == ("age", "label", "gender")


def test_events_that_do_not_say_when_need_a_day() -> None:
    text = "userID\tartistID\tweight\n2\t51\t13883\n2\t52\t11690\n3\t51\t20\n"
    with pytest.raises(SampleError, match="no column says when"):
        proposed(text, "user_artists.dat")
    assert proposed(text, "user_artists.dat", day="2011-05-01")["columns"]["event_time"] == "'2011-05-01'"


def test_a_record_without_an_id_is_known_by_its_place() -> None:
    proposal = propose(sample_of_text(b"age;job;y\n30;clerk;no\n31;cook;yes\n30;clerk;no\n", "bank.csv"))
    assert proposal.settings["columns"]["user_id"] == "row_number"
    assert any("only one file" in note for note in proposal.notes)


@pytest.mark.parametrize("space", ["", "\n", "\n  "])
def test_one_array_of_objects_is_proposed_like_lines_of_them(space: str) -> None:
    records = [
        json.dumps(
            {"user": {"id": i % 9}, "at": f"2026-01-{i % 28 + 1:02d}", "action": "view"}, indent=2 if space else None
        )
        for i in range(40)
    ]
    told = ("columns", "roles", "format", "table")
    array = proposed(f"[{space}{','.join(records)}]", "a.json")
    lines = proposed("\n".join(json.dumps(json.loads(r)) for r in records), "a.json")
    assert {k: array.get(k) for k in told} == {k: lines.get(k) for k in told}
    assert array["columns"]["user_id"] == "user.id"


def test_an_array_that_is_too_large_to_look_at_is_looked_at_in_part_and_told_of_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"user_id": i, "at": "2026-01-01"} for i in range(1000)]))
    sample = sample_of(path, limit_bytes=2000)
    assert not sample.is_whole
    assert json.loads(sample.content)[:2] == [{"user_id": 0, "at": "2026-01-01"}, {"user_id": 1, "at": "2026-01-01"}]


def test_a_log_that_names_its_fields_is_read_by_them() -> None:
    text = "#Software: x\n#Fields: date time s-ip cs-method cs-uri-stem c-ip cs(User-Agent) sc-status\n"
    text += "".join(
        f"2026-03-01 10:00:{i:02d} 10.0.0.1 GET /p/{i} 203.0.113.{i} Mozilla/5.0+(X11) 200\n" for i in range(40)
    )
    found = proposed(text, "u_ex260301.log")
    assert (found["columns"]["event_time"], found["columns"]["url"]) == ("request_time", "url")
    assert found["columns"]["device_id"] == "md5(concat_ws(' ', ip, user_agent))"


def test_of_a_log_the_time_is_known_and_not_guessed() -> None:
    line = '203.0.113.{0} - - [01/Mar/2026:10:00:{0:02d} +0000] "GET /p/{0} HTTP/1.1" 200 5 "-" "Mozilla/5.0 (X11)"\n'
    text = "".join(line.format(i) for i in range(40))
    assert not any("no name says when" in n for n in propose(sample_of_text(text.encode(), "access.log")).notes)


def test_the_id_of_a_browser_may_be_two_numbers_with_a_point() -> None:
    rows = [
        {"event_name": "page_view", "event_timestamp": 1709600000000000 + i, "user_pseudo_id": f"{i % 9}.17"}
        for i in range(40)
    ]
    assert proposed("\n".join(map(json.dumps, rows)), "a.jsonl")["columns"]["anonymous_id"] == "user_pseudo_id"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"), (b" \n\n", "empty"), (b"user_id,event,time\n", "header only"), (b"PK\x03\x04zip", "ZIP"), (bytes(range(256)) * 50, "binary"),
        (b"a\nb\nc\n", "one column only"), (b"user_id,user_id,time\n1,2,3\n", "twice"), (b'["a", 1]', "text in brackets"), (b'{"a":\n1}\n', "spread over lines"),
        (b"<!DOCTYPE html><html></html>", "HTML"), (b"foo,bar\n1,2\n", "--table"),
    ],
)  # fmt: skip
def test_what_can_not_be_a_source_is_refused_with_one_reason(content: bytes, said: str) -> None:
    with pytest.raises(SampleError, match=said):
        propose(sample_of_text(content, "x.csv"))


@given(st.binary(max_size=400))
def test_any_bytes_are_a_proposal_or_one_message(content: bytes) -> None:
    try:
        assert propose(sample_of_text(content, "x.csv")).source()
    except SampleError as error:
        assert str(error)


def test_the_calendar_leaves_out_what_lies_years_away() -> None:
    days = Counter({dt.date(1956, 6, 1): 2, dt.date(2011, 5, 1): 900, dt.date(2011, 5, 9): 100})
    calendar = calendar_of(days, timezone="UTC", is_of_sample=False)
    assert (calendar.start, calendar.end, calendar.n_left_out) == (dt.date(2011, 5, 1), dt.date(2011, 5, 9), 2)


@pytest.mark.parametrize(("day", "monday"), [(13, 12), (15, 12), (12, 5), (11, 5)])
def test_people_without_events_get_a_week_and_the_monday_after_it_both_past(day: int, monday: int) -> None:
    calendar = calendar_without_events(dt.date(2026, 1, day), "UTC")
    assert calendar.end == dt.date(2026, 1, monday)
    assert (calendar.end - calendar.start).days == 7


def test_names_of_sources_leave_out_dates_and_are_free() -> None:
    assert source_name(["2010-12-01.csv"], "events", []) == "events"
    assert source_name(["page 1.json.jsonl"], "events", []) == "page"
    assert source_name(["JData_Action_201602.csv"], "events", ["jdata_action"]) == "jdata_action_2"
    assert pattern_of("shop", ["a.csv.gz", "b.csv.gz"]) == "shop/*.csv.gz"
    assert pattern_of("shop", ["a.csv", "b.tsv"]) == "shop/*"


@given(
    st.recursive(
        st.text() | st.integers() | st.booleans(),
        lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(), part, max_size=3),
    )
)
def test_whatever_is_written_as_yaml_reads_back_the_same(value: object) -> None:
    assert yaml.safe_load(f"key: {scalar(value)}") == {"key": value}


@pytest.mark.parametrize("n_lines", [10, 3_000, 20_011])
def test_a_sample_holds_whole_lines_of_the_head_and_the_end(tmp_path: Path, n_lines: int) -> None:
    lines = [f"{i},{'x' * (i % 13)}" for i in range(n_lines)]
    path = tmp_path / "f.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    sample = sample_of(path, limit_bytes=16_000)
    found = sample.content.decode().splitlines()
    assert set(found) <= set(lines)
    assert len(found) == len(set(found))
    assert (found[0], found[-1]) == (lines[0], lines[-1])
    assert sample.is_whole == (n_lines == 10)


FILES = {
    "block": "# mine\ncalendar: {start: 2026-01-01}   # days\n\nsources:\n  shop:\n    table: events  # all\n    roles: {a: view}  # last\n\n# models\nmodels: {}\n",
    "deep": "sources:\n    shop:\n        table: events\n        header:\n            - a\n            - b\ncalendar: {start: 2026-01-01}\n",
    "no line end": "calendar: {start: 2026-01-01}\nsources:\n  shop: {table: events}",
    "windows": "sources:\r\n  shop:\r\n    table: events\r\n# end\r\n",
    "folded": "sources:\n  shop:\n    note: >\n      some\n      text\nmodels: {}\n",
    "empty": "calendar: {start: 2026-01-01}\nsources:\nmodels: {}\n",
    "none": "calendar: {start: 2026-01-01}\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_source_is_put_in_and_everything_else_stays_byte_for_byte(name: str) -> None:
    before = FILES[name]
    block = source_text("web", {"table": "events", "columns": {"event_type": "'view'"}}, ["a note"])
    after = insert_sources(before, {"web": block})
    tree = yaml.safe_load(after)
    assert tree["sources"].pop("web") == {"table": "events", "columns": {"event_type": "'view'"}}
    expected = yaml.safe_load(before)
    assert tree == expected | {"sources": expected.get("sources") or {}}
    kept = iter(after.splitlines())
    assert all(line in kept for line in before.splitlines())
    assert ("\r\n" in before) == ("\n" not in after.replace("\r\n", ""))


def test_a_name_that_is_taken_and_sources_in_braces_are_refused() -> None:
    with pytest.raises(InsertError, match="already"):
        insert_sources(FILES["block"], {"shop": "shop: {}\n"})
    with pytest.raises(InsertError, match="braces"):
        insert_sources("sources: {a: {table: events}}\n", {"web": "web: {}\n"})
