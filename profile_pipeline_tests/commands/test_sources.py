import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
import zstandard
from typer.testing import CliRunner

from profile_pipeline.cli import app
from profile_pipeline.errors import ExpectedError
from profile_pipeline.orchestration.configuration import load_checked
from profile_pipeline.paths import Paths

EVENTS = "ts,action,uid,item\n" + "".join(
    f"2026-01-{1 + i % 28:02d}T10:00:00Z,加购,u{i % 7},i{i % 5}\n" for i in range(80)
)
CONFIG = """# mine
calendar: {start: 2026-01-10, end: 2026-01-20, timezone: UTC}
currency: GBP

sources:
  shop:   # the old one
    table: events
    path: "shop/*.csv"
    format: csv
    columns: {event_time: ts, event_type: action, user_id: uid}

models: {}   # none yet
"""


class Folder:
    """A folder of a new user, and the command run in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "profile.yaml"

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def add(self, *arguments: str | Path, answer: str | None = None) -> tuple[int, str]:
        result = CliRunner().invoke(
            app,
            ["sources", "add", *map(str, arguments), "--config", str(self.config), "--data", str(self.path / "data")],
            input=answer,
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            assert isinstance(result.exception, ExpectedError), result.exception
            return 1, str(result.exception)
        return result.exit_code, result.output

    def checked(self) -> dict:
        load_checked(Paths(config=self.config, data=self.path / "data"))
        return yaml.safe_load(self.config.read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_a_new_configuration_is_complete(folder: Folder) -> None:
    code, told = folder.add(folder.file("web.csv", EVENTS), "--yes")
    assert code == 0, told
    assert "80 of 80 records would be loaded" in told
    tree = folder.checked()
    assert (str(tree["calendar"]["start"]), str(tree["calendar"]["end"])) == ("2026-01-01", "2026-01-28")
    assert tree["sources"]["web"]["roles"] == {"加购": "add_to_cart"}
    assert {"segments"} <= tree["models"].keys()


def test_an_existing_configuration_keeps_every_byte_and_the_calendar_is_held_against_the_file(folder: Folder) -> None:
    folder.config.write_text(CONFIG, encoding="utf-8")
    code, told = folder.add(folder.file("app.csv", EVENTS), "--yes")
    assert code == 0
    assert "lie outside of the calendar (2026-01-10 to 2026-01-20)" in told
    after = folder.config.read_text(encoding="utf-8")
    at = after.index("  # taken for events")
    assert after[:at] + after[after.index("\nmodels:") :] == CONFIG
    assert folder.checked()["sources"]["app"]["columns"]["event_type"] == "action"


def test_nothing_is_written_without_a_yes(folder: Folder) -> None:
    file = folder.file("web.csv", EVENTS)
    assert folder.add(file, answer="n\n")[0] == 1
    assert folder.add(file, "--dry-run")[0] == 0
    assert folder.add(file, "--json")[0] == 0
    assert not folder.config.exists()
    assert folder.add(file, answer="y\n")[0] == 0
    assert folder.config.exists()


def test_json_tells_the_settings_and_what_would_be_refused(folder: Folder) -> None:
    code, told = folder.add(folder.file("web.csv", EVENTS + "not a time,view,u1,i1\n"), "--json")
    source = json.loads(told)["sources"]["web"]
    assert code == 0
    assert (source["n_records"], source["n_loaded"], source["refused"]["bad_time"]["n"]) == (81, 80, 1)
    assert len(source["rows"]) == 10


def test_files_of_several_kinds_become_several_sources_and_those_written_alike_one(folder: Folder) -> None:
    users = folder.file(
        "users.csv", "user_id,gender,age,city\n" + "".join(f"u{i},{'mf'[i % 2]},{20 + i},上海\n" for i in range(30))
    )
    days = [folder.file(f"2026-01-0{n}.csv", EVENTS) for n in (1, 2)]
    code, told = folder.add(users, *days, "--yes")
    assert code == 0, told
    tree = folder.checked()
    assert {name: source["table"] for name, source in tree["sources"].items()} == {"events": "events", "users": "users"}
    assert tree["models"]["gender"] == {"task": "attribute", "label": "gender"}


def test_json_lines_of_a_series_are_one_source_although_fields_come_and_go(folder: Folder) -> None:
    """And a table of people beside them that shares a field is one of its own."""
    day = '{"ts": "2026-01-0%dT10:00:0%dZ", "action": "view", "uid": "u%d"%s}\n'
    first = folder.file("ev_2026-01-01.jsonl", "".join(day % (1, i, i, "") for i in range(9)))
    extra = ', "item": {"sku": "i1", "price": 9.5}, "city": "Bonn"'
    second = folder.file("ev_2026-01-02.jsonl", "".join(day % (2, i, i, extra if i % 2 else "") for i in range(9)))
    people = folder.file(
        "members.jsonl", "".join(f'{{"uid": "u{i}", "gender": "f", "age": {30 + i}}}\n' for i in range(9))
    )
    code, told = folder.add(first, second, people, "--yes")
    assert code == 0, told
    sources = folder.checked()["sources"]
    assert sorted(source["table"] for source in sources.values()) == ["events", "users"]
    (columns,) = [source["columns"] for source in sources.values() if source["table"] == "events"]
    assert columns["item_id"] == "item.sku"


def test_people_without_events_get_features_of_the_crm_and_a_model_of_their_label(folder: Folder) -> None:
    rows = "".join(f"c{i},{i % 40},{'yes' if i % 3 else 'no'},{20.5 + i % 50},{'ab'[i % 2]}\n" for i in range(200))
    assert (
        folder.add(folder.file("telco.csv", "customerID,tenure,Churn,MonthlyCharges,Contract\n" + rows), "--yes")[0]
        == 0
    )
    tree = folder.checked()
    assert tree["models"]["churn"] == {"task": "attribute", "label": "attributes.Churn"}
    assert tree["features"] == {"attributes": ["tenure", "MonthlyCharges"], "categories": ["Contract"]}
    assert (tree["calendar"]["end"] - tree["calendar"]["start"]).days == 7


@pytest.mark.parametrize("kind", ["gz", "zst", "parquet", "utf-16", "bom"])
def test_packed_files_parquet_and_byte_order_marks_are_read(folder: Folder, kind: str) -> None:
    import gzip

    made = {
        "gz": lambda: folder.file("web.csv.gz", gzip.compress(EVENTS.encode())),
        "zst": lambda: folder.file("web.csv.zst", zstandard.compress(EVENTS.encode())),
        "utf-16": lambda: folder.file("web.csv", EVENTS.encode("utf-16")),
        "bom": lambda: folder.file("web.csv", EVENTS.encode("utf-8-sig")),
        "parquet": lambda: _parquet(folder.path / "web.parquet"),
    }
    code, told = folder.add(made[kind](), "--json")
    assert code == 0, told
    source = next(iter(json.loads(told)["sources"].values()))
    assert (source["n_loaded"], source["settings"]["columns"]["user_id"]) == (80, "uid")


def _parquet(path: Path) -> Path:
    rows = [line.split(",") for line in EVENTS.splitlines()]
    columns = dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True))
    pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), path)
    return path


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", b"", "empty"),
        ("header.csv", b"user_id,event,time\n", "header only"),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(1000), "binary"),
        ("one.csv", b"name\na\nb\n", "one column only"),
        ("twice.csv", b"user_id,user_id,time\nu1,u2,2026-01-01\n", "twice"),
        ("cut.csv.gz", b"\x1f\x8b\x08\x00" + bytes(20), "damaged_compression"),
        ("cut.parquet", b"PAR1" + bytes(50), "damaged_parquet"),
    ],
)
def test_a_file_that_can_not_be_a_source_is_one_message_that_names_it(
    folder: Folder, name: str, content: bytes, said: str
) -> None:
    code, told = folder.add(folder.file(name, content), "--yes")
    assert code == 1
    assert name in told and said in told and len(told.splitlines()) == 1
    assert not folder.config.exists()


def test_a_missing_file_a_folder_and_a_wrong_option_are_one_message_each(folder: Folder) -> None:
    assert folder.add(folder.path / "nothing.csv") == (1, f"{folder.path / 'nothing.csv'}: no such file")
    assert "found a folder" in folder.add(folder.path)[1]
    assert "expected one of events, users" in folder.add(folder.file("web.csv", EVENTS), "--table", "visits")[1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_one_message(folder: Folder) -> None:
    file = folder.file("web.csv", EVENTS)
    file.chmod(0)
    assert "no permission" in folder.add(file)[1]


def test_five_hundred_columns_and_a_line_of_a_megabyte_are_read(folder: Folder) -> None:
    names = ",".join(["user_id", "gender", *(f"x{i}" for i in range(498))])
    rows = "".join(f"u{i},{'mf'[i % 2]}," + ",".join(str(i * j % 7) for j in range(498)) + "\n" for i in range(40))
    assert folder.add(folder.file("wide.csv", f"{names}\n{rows}"), "--json")[0] == 0
    long = EVENTS + f"2026-01-02T10:00:00Z,view,u1,{'x' * 1_000_000}\n"
    code, told = folder.add(folder.file("long.csv", long), "--json")
    assert (code, json.loads(told)["sources"]["long"]["n_records"]) == (0, 81)


def test_a_source_of_the_same_name_is_refused(folder: Folder) -> None:
    folder.config.write_text(CONFIG, encoding="utf-8")
    code, told = folder.add(folder.file("web.csv", EVENTS), "--name", "shop", "--yes")
    assert code == 1 and "already" in told
    assert folder.config.read_text(encoding="utf-8") == CONFIG


@pytest.mark.parametrize(
    ("action", "config", "said"),
    [
        ("view", None, "times name no zone: taken as UTC; timezone: says otherwise"),
        ("浏览", None, "times name no zone: taken as Asia/Shanghai, because the text is Chinese; timezone: says otherwise"),
        ("浏览", CONFIG.replace("timezone: UTC", "timezone: Asia/Tokyo"), "times name no zone: taken as Asia/Tokyo, as the calendar says; timezone: says otherwise"),
    ],
)  # fmt: skip
def test_the_zone_that_times_without_one_are_taken_to_be_of_is_a_comment(
    folder: Folder, action: str, config: str | None, said: str
) -> None:
    if config:
        folder.config.write_text(config, encoding="utf-8")
    folder.add(folder.file("web.csv", EVENTS.replace("Z,加购", f",{action}")), "--yes")
    assert f"  # {said}\n" in folder.config.read_text(encoding="utf-8")
    assert folder.checked()["sources"]["web"].get("timezone", "UTC") in said


def test_times_that_name_their_zone_need_no_such_comment(folder: Folder) -> None:
    folder.add(folder.file("web.csv", EVENTS), "--yes")
    assert "zone" not in folder.config.read_text(encoding="utf-8").partition("sources:")[2]


def test_what_was_guessed_stands_above_the_rows_on_the_screen_and_not_in_the_yaml_only(folder: Folder) -> None:
    rows = "".join(f"u{i % 7},{1 + i % 9:02d}/0{1 + i % 5}/2026,view,x\n" for i in range(60))
    _, told = folder.add(folder.file("web.csv", "user_id,date,action,note\n" + rows), "--dry-run")
    above = told.partition("would be loaded")[0].splitlines()
    told = "read as %d/%m/%Y; if it is the other way round, time_format: '%m/%d/%Y'"
    assert f"- days and months can't be told apart by the values: {told}" in above
    assert "- not mapped: note" in above


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (EVENTS + "never,view,u1,i1\n", "a time as time_format says (iso, such as 2026-01-31T10:00:00Z)"),
        (
            EVENTS.replace("2026-01-", "").replace("T10:00:00Z", "/01/2026 10:00") + "never,view,u1,i1\n",
            "a time as time_format says (%d/%m/%Y %H:%M)",
        ),
    ],
)
def test_the_preview_tells_a_refused_time_uncut_with_the_format_that_was_expected(
    folder: Folder, text: str, expected: str
) -> None:
    _, told = folder.add(folder.file("web.csv", text), "--dry-run")
    assert f"  1 bad_time, for example event_time: found 'never', expected {expected}. To do: set time_format" in told


def test_what_can_not_be_a_source_is_left_out_with_its_reason_and_the_rest_is_written(folder: Folder) -> None:
    (folder.path / "old").mkdir()
    mixed = [
        folder.file("web_1.csv", EVENTS), folder.file("README", "Exports\nDelivered every Monday.\n"), folder.file("empty.csv", ""),
        folder.file("book.xlsx", b"PK\x03\x04" + bytes(100)), folder.path / "old", folder.path / "gone.csv", folder.file("web_2.csv", EVENTS),
    ]  # fmt: skip
    code, told = folder.add(*mixed, "--yes")
    assert code == 0, told
    assert [list(folder.checked()["sources"]), told.count("web_1.csv"), told.count("web_2.csv")] == [["web"], 2, 2]
    left = [line.strip() for line in told.partition("left out:\n")[2].splitlines()[:5]]
    at = folder.path
    assert [line.split(",")[0] for line in left] == [
        f"{at / 'README'}: found one column only", f"{at / 'book.xlsx'}: found a ZIP archive or an Excel workbook",
        f"{at / 'empty.csv'}: the file is empty: expected records", f"{at / 'gone.csv'}: no such file", f"{at / 'old'}: found a folder",
    ]  # fmt: skip
    assert json.loads(folder.add(*mixed, "--json")[1])["left_out"][0]["files"] == [str(at / "README")]


def test_files_of_which_none_can_be_a_source_are_a_message_that_names_each(folder: Folder) -> None:
    code, told = folder.add(folder.file("empty.csv", ""), folder.file("one.csv", "name\na\nb\n"), "--yes")
    assert code == 1 and not folder.config.exists()
    assert [line.split(": ")[0] for line in told.splitlines()] == [
        str(folder.path / name) for name in ("empty.csv", "one.csv")
    ]


def test_files_that_a_source_reads_already_are_to_be_put_into_its_folder_and_nothing_is_written(folder: Folder) -> None:
    folder.add(folder.file("web_1.csv", EVENTS), "--yes")
    before = folder.config.read_bytes()
    second = folder.file("web_2.csv", EVENTS)
    code, told = folder.add(second)
    landing = folder.path / "data" / "landing" / "web"
    assert (code, folder.config.read_bytes()) == (0, before), told
    assert f"web_2.csv: files of this kind are there already as web: put it into {landing}\n" in told
    assert f"mkdir -p {landing} && cp {second} {landing}/\n" in told
    assert json.loads(folder.add(second, "--json")[1])["known"] == {"web": [str(second)]}


def test_a_source_whose_roles_were_changed_is_still_known_and_types_it_has_no_role_for_are_told(folder: Folder) -> None:
    folder.add(folder.file("web_1.csv", EVENTS), "--yes")
    text = folder.config.read_text(encoding="utf-8")
    folder.config.write_text(text.replace("add_to_cart}", "other}"), encoding="utf-8")
    code, told = folder.add(folder.file("web_2.csv", EVENTS.replace("加购", "付款", 9)))
    assert code == 0
    assert "there already as web" in told and "web: roles: names none for '付款'" in told and "'加购'" not in told


@pytest.mark.parametrize("options", [[], ["--name", "app"]], ids=["columns differ", "named"])
def test_another_mapping_or_a_name_makes_another_source(folder: Folder, options: list[str]) -> None:
    folder.add(folder.file("web_1.csv", EVENTS), "--yes")
    second = folder.file("web_2.csv", EVENTS if options else EVENTS.replace("uid", "user_id"))
    assert folder.add(second, *options, "--yes")[0] == 0
    assert list(folder.checked()["sources"]) == ["web", options[1] if options else "web_2"]


def test_amounts_in_a_currency_that_the_configuration_does_not_name_are_told(folder: Folder) -> None:
    folder.config.write_text(CONFIG.replace("currency: GBP\n", ""), encoding="utf-8")
    rows = "".join(f"u{i},2026-01-{11 + i},$1{i}.50\n" for i in range(9))
    _, told = folder.add(folder.file("sales.csv", "user_id,order_date,total\n" + rows), "--dry-run")
    assert "sales: amounts are in USD, and profile.yaml names no currency: write `currency: USD` into it" in told
