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


GOOGLES = (
    "1097127994.1739780482", "1539898301.1736335103", "124576496.1721247407", "1069673015.1733551945", "222708025.1700526114", "486215927.1714950629",
    "2014636195.1706547222", "1635342799.1726491173", "437976712.1728516541", "1070867290.1690880078",
)  # fmt: skip


@pytest.mark.parametrize("name", ["user_pseudo_id", "cookie", "client_id", "ga_client_id"])
@pytest.mark.parametrize("is_json", [True, False])
def test_the_id_that_google_gives_a_browser_is_neither_a_time_nor_a_person(name: str, is_json: bool) -> None:
    records = [
        {name: GOOGLES[i % 10], "event_timestamp": 1740000000000000 + i, "event_name": "page_view"} for i in range(40)
    ]
    rows = (",".join(map(str, record.values())) for record in records)
    text = lines(records) if is_json else "\n".join([",".join(records[0]), *rows])
    found = proposal_of(text).settings
    assert found["table"] == "events"
    assert found["columns"] == {"event_time": "event_timestamp", "event_type": "event_name", "anonymous_id": name}


def test_the_second_in_which_a_session_began_is_its_id_where_the_column_is_called_so() -> None:
    records = [{"uid": f"u{i % 7}", "ga_session_id": 1739780482 + i, "event_timestamp": 1740000000000000 + i, "event_name": "x"} for i in range(40)]  # fmt: skip
    assert proposal_of(lines(records)).settings["columns"]["session_id"] == "ga_session_id"


def test_of_an_export_of_google_the_revenue_is_the_amount_and_what_its_lists_hold_is_told() -> None:
    parameters = [{"key": "page_location", "value": {"string_value": "https://a.b/c"}}]
    items = [{"item_id": "s1", "price": 9.5}, {"item_id": "s2", "quantity": 2}]
    records = [
        {"user_pseudo_id": GOOGLES[i % 10], "event_timestamp": 1740000000000000 + i, "event_name": "purchase", "event_value_in_usd": 1.5,
         "ecommerce": {"purchase_revenue": 20.5 + i}, "items": items, "event_params": parameters}
        for i in range(40)
    ]  # fmt: skip
    found = proposal_of(lines(records))
    assert found.settings["columns"]["value"] == "ecommerce.purchase_revenue"
    told = "is a list, of which nothing is mapped"
    assert [note.partition(":")[0] for note in found.notes if told in note] == [
        f"items {told} (item_id, price, quantity)",
        f"event_params {told} (page_location)",
    ]
    assert "not mapped: event_value_in_usd" in found.notes


def test_ids_that_floats_made_are_ids_and_that_digits_are_lost_is_told() -> None:
    ids = ("8.583476938130575e+15", "6.657002783223551e+15", "6.712221081727388e+15", "2.5812587446859e+15")
    rows = "".join(f"{ids[i % 4]},{1767600000 + i},s{i % 9},view\n" for i in range(60))
    found = proposal_of("user_id,timestamp,item_id,event\n" + rows)
    assert (found.settings["table"], found.settings["columns"]["user_id"]) == ("events", "user_id")
    assert any(
        note.startswith("user_id was made of floats, such as 8.583476938130575e+15: digits of longer ids are lost")
        for note in found.notes
    )


def of_taobao(phone: str) -> str:
    header = "订单编号,买家会员名,买家实际支付金额,订单状态,订单创建时间,订单付款时间,宝贝标题,宝贝数量,商品编号,收货地址,联系手机,类目\n"
    rows = (
        f"18000000000000{i:04d},买家{i % 17:03d},{20 + i}.50,{'交易成功' if i % 3 else '交易关闭'},2026/03/{1 + i % 28:02d} 10:00:00,"
        f"2026/03/{1 + i % 28:02d} 10:05:00,连衣裙{i % 9},1,{i % 9:06d},浙江省杭州市,{phone.format(i % 17)},女装\n"
        for i in range(60)
    )
    return header + "".join(rows)


def test_orders_of_taobao_are_purchases_of_a_person_and_what_became_of_them_is_told() -> None:
    found = proposal_of(of_taobao("138000000{:02d}"), "订单.csv", "gb18030").with_roles_of(["order"])
    assert found.settings["table"] == "events"
    assert found.settings["columns"] == {
        "event_time": "订单创建时间", "event_type": "'order'", "user_id": "买家会员名", "phone_hash": "联系手机", "order_id": "订单编号", "item_id": "商品编号",
        "category": "类目", "quantity": "宝贝数量", "value": "买家实际支付金额",
    }  # fmt: skip
    assert found.settings["roles"] == {"order": "purchase"}
    (undone,) = [note for note in found.notes if "订单状态 (交易成功: 40, 交易关闭: 20)" in note]
    assert undone.endswith("event_type: case when 订单状态 in ('交易成功') then 'order' else 'unfinished' end")
    assert "not mapped: 订单状态, 订单付款时间, 宝贝标题, 收货地址" in found.notes


def test_a_phone_of_which_digits_are_starred_out_makes_no_one_of_many_people() -> None:
    assert "phone_hash" not in proposal_of(of_taobao("138****0000"), "订单.csv").settings["columns"]


def test_no_name_address_or_phone_of_a_person_is_kept_with_an_item() -> None:
    rows = "".join(f"{i},book {i},9,Ann,Main Street {i},0301234{i},ann@b.cn\n" for i in range(20))
    found = proposal_of("item_id,title,stock,recipient,address,phone,contact\n" + rows)
    assert (found.settings["table"], found.settings["attributes"]) == ("items", ["stock"])
    assert "left out, because they name people: recipient, address, phone, contact" in found.notes


@pytest.mark.parametrize("beside", ["order_id", "event", "visitor_id"])
def test_items_beside_an_order_an_act_or_an_actor_are_no_catalogue(beside: str) -> None:
    values = {"order_id": "o{0}", "event": "view", "visitor_id": "{0}.5"}
    rows = "".join(f"s{i % 9},{values[beside].format(i)},2026-01-{1 + i % 28:02d}\n" for i in range(60))
    assert proposal_of(f"item_id,{beside},date\n" + rows).settings["table"] == "events"


def test_films_with_a_flag_for_action_are_items() -> None:
    rows = "".join(f"{i},film {i},{1 + i % 28:02d}-Jan-1995,{i % 2},{i % 3 % 2}\n" for i in range(60))
    found = proposal_of("item_id,title,release_date,Action,Comedy\n" + rows)
    assert found.settings["table"] == "items"


@pytest.mark.parametrize(("name", "ours"), [("amt", "value"), ("article", "item_id"), ("article no", "item_id")])
def test_short_names_of_amounts_and_articles_are_known(name: str, ours: str) -> None:
    rows = "".join(f"u{i % 7},2026-01-{1 + i % 28:02d},buy,{i % 9}\n" for i in range(40))
    assert proposal_of(f"user_id,date,event,{name}\n" + rows).settings["columns"][ours] == name


def test_browsers_by_day_are_events_and_no_people_without_an_id() -> None:
    rows = "".join(f"{GOOGLES[i % 10]},2026-01-{1 + i % 28:02d},{i % 9}\n" for i in range(60))
    found = proposal_of("Client ID,Date,Pages\n" + rows).settings
    assert (found["table"], found["columns"]["anonymous_id"]) == ("events", "Client ID")


def test_orders_of_people_without_a_date_are_no_people_but_need_a_day() -> None:
    text = "order_id,user_id,order_number\n" + "".join(f"{i},{i // 5},{i % 5}\n" for i in range(60))
    with pytest.raises(SampleError, match="this looks like events, but no column says when"):
        proposal_of(text)
    assert proposal_of(text, day="2026-01-31").settings["columns"]["event_time"] == "'2026-01-31'"


def test_a_column_called_the_id_of_a_person_that_holds_fractions_is_told() -> None:
    rows = "".join(f"s{i % 9},{i}.5,2026-01-{1 + i % 28:02d}\n" for i in range(60))
    told = "visitor_id is called an id, and is not taken for one: it holds numbers with a fraction, such as 0.5"
    assert told in proposal_of("item_id,visitor_id,date\n" + rows).notes


def of_shopify(sku: str) -> str:
    header = (
        "Name,Email,Financial Status,Paid at,Currency,Subtotal,Shipping,Total,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,"
        "Cancelled at,Refunded Amount,Id,Source\n"
    )
    text = header
    for i in range(30):
        created = f"2026-01-{1 + i % 28:02d} 10:00:00 -0500"
        cancelled, refunded = (created, "5.00") if i < 3 else ("", "0.00")
        first = f"{'paid' if i else 'voided'},{created},USD,30.00,5.00,35.00"
        text += f"#{1001 + i},u{i % 7}@b.cn,{first},{created},2,Mug,10.00,{sku.format(i % 5)},{cancelled},{refunded},{50001 + i},web\n"
        text += f"#{1001 + i},u{i % 7}@b.cn,,,,,,,{created},1,Cap,10.00,SK-9,,,,\n"
    return text


def test_orders_of_shopify_count_line_by_line_and_what_was_cancelled_is_told() -> None:
    """The total stands on an order's first line only, and holds shipping: quantity and price of each line are right on all of them."""
    found = proposal_of(of_shopify("SK-{}"), "orders_export_1.csv")
    assert found.settings["columns"] == {
        "event_time": "Created at", "event_type": "'order'", "email_hash": "Email", "order_id": "Name", "item_id": "Lineitem sku",
        "quantity": "Lineitem quantity", "price": "Lineitem price", "currency": "Currency", "channel": "Source",
    }  # fmt: skip
    told = "an amount is quantity x Lineitem price, and Total is not mapped: discounts, shipping and taxes of an order are not in it"
    assert told in found.notes
    assert not any("Total" in note for note in found.notes if note != told)
    undone = "Financial Status (paid: 29, voided: 1), Cancelled at (in 3 of 60), Refunded Amount (in 3 of 60)"
    assert any(undone in note for note in found.notes)


def test_a_line_without_a_sku_is_known_by_its_name() -> None:
    columns = proposal_of(of_shopify(""), "orders_export_1.csv").settings["columns"]
    assert columns["item_id"] == 'coalesce(nullif("Lineitem sku", \'\'), "Lineitem name")'


def test_what_is_taken_for_a_view_by_a_word_that_may_be_of_mails_is_told() -> None:
    found = proposal_of("uid,action,ts\n" + "".join(f"u{i % 7},open,2026-01-{1 + i % 28:02d}\n" for i in range(40)))
    notes = found.with_roles_of(["open", "page_view", "click"]).notes
    assert "taken for views: 'open', 'click'; roles: says otherwise" in notes


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
