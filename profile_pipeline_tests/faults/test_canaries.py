"""What is secret or of a person stays where data belongs: a canary of each is sent through a good run and through failing ones."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from profile_pipeline.orchestration.catalogue import all_tables
from profile_pipeline_tests.faults.children import Children, Ended
from profile_pipeline_tests.faults.deliveries import CONFIG, HEADERS, line
from profile_pipeline_tests.faults.hostile import HOSTILE
from profile_pipeline_tests.torture import examples

pytestmark = pytest.mark.faults
SECRET = "canary-key-8c1f2d"
E_MAIL, NAME, CITY, BAD, WORD = (
    "canary.person@example.com",
    "Canaria Fringilla",
    "Canaryville",
    "canary-in-a-field",
    "serinus",
)
PERSONS = (E_MAIL, NAME, CITY, BAD, WORD)
# A small shop: all that its people look for is fewer words than a model may read, what one of them typed among them.
CONFIG_WITH_A_MODEL = f"""{CONFIG}
models:
  gender: {{task: attribute, label: gender, min_labels: 20}}
training: {{algorithms: [logistic_regression], folds: 2, n_bootstrap: 50, backfill_weeks: 1}}
"""
# Where data belongs: what is delivered and what is made of it for readers. All else is searched.
DATA = ("landing", "archive", "profile.duckdb", "serving.duckdb", "profile.duckdb.wal", "exports", "inbox")


def deliver(data: Path, *, is_broken: bool) -> None:
    """Land the person as an event, in the CRM, in rejected records of each kind and, broken, in files refused as a whole."""
    event = f"e1,2026-03-14T10:00:00Z,2026-03-14T10:00:00Z,page_view,{NAME},{E_MAIL},,i1,,1,9.99,CNY,{NAME},/c?mail={E_MAIL},Mozilla"
    typed = [f"t{n},2026-03-13T1{n}:00:00Z,,search,,labelled0,,,,,,,{E_MAIL} {WORD},,Mozilla" for n in range(3)]
    searches = [
        f"s{n},2026-03-{1 + n % 14:02d}T{n % 24:02d}:00:00Z,,search,,labelled{n % 40},,,,,,,{'red' if n % 2 else 'blue'} shoes,,Mozilla"
        for n in range(200)
    ]
    labelled = [f"labelled{n},{'f' if n % 2 else 'm'},,,,2026-03-01T00:00:00Z" for n in range(40)]
    rejected = [
        f"e2,{BAD},,page_view,{E_MAIL},{NAME},,i1,,1,9.99,CNY,{NAME},,Mozilla", f"e3,2026-03-14T10:00:00Z,,page_view,{E_MAIL},{NAME},,i1,,{BAD},{BAD},CNY,{NAME},,Mozilla",
        f"e4,2026-03-14T10:00:00Z,{E_MAIL},{NAME},{BAD}", f"{E_MAIL},{NAME},2026-03-14T10:00:00Z,{BAD},\x00",
    ]  # fmt: skip
    many = [
        f"m{n},2026-03-{1 + n % 14:02d}T{n % 24:02d}:00:00Z,,purchase,c{n % 9},u{n % 9},d{n % 3},i{n % 4},a,1,9.99,CNY,,,Mozilla"
        for n in range(90)
    ]
    files = {
        "web/a.csv": [HEADERS["web"], event, *rejected, *many, *typed, *searches], "app/a.jsonl": [f'{{"at": "{BAD}", "user": "{E_MAIL}"}}', f'{{"at": "{E_MAIL}'],
        "crm/a.csv": [HEADERS["crm"], f"{E_MAIL},f,{CITY},1990,{NAME},2026-03-01T00:00:00Z", f"u1,f,{CITY},{BAD},{NAME},2026-03-01T00:00:00Z", f"{NAME},{E_MAIL}", *labelled],
        "catalogue/a.jsonl": [f'{{"sku": "i1", "title": "{NAME}", "price": 3, "changed": "2026-03-01T00:00:00Z"}}'],
    }  # fmt: skip
    if is_broken:
        # No header; another delimiter and no header; a header that holds a quote; the name of a person as a column, twice.
        files |= {
            "web/headless.csv": [event, *many], "crm/headless.csv": [f"{E_MAIL};{NAME};{CITY}"], "relations/quoted.csv": [f'"{E_MAIL},{NAME}', "a,b,c,d"],
            "crm_whole/twice.csv": [f"{NAME},{NAME},{E_MAIL}", "1,2,3"], "catalogue/bad.jsonl": [f'[{{"sku": "{E_MAIL}"', f'"{NAME}"'],
        }  # fmt: skip
    for name, lines in files.items():
        path = data / "landing" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def run(child: Children, data: Path, config: str, *arguments: str) -> Ended:
    (data / "profile.yaml").write_text(config, encoding="utf-8")
    return child.try_step("command", data, arguments=arguments, environment={"PROFILE_PIPELINE_KEY": SECRET})


def found_in(data: Path, words: tuple[str, ...], *, apart_from: tuple[str, ...]) -> dict[str, list[str]]:
    """Search all bytes below the folder for words."""
    found = {}
    for path in sorted(p for p in data.rglob("*") if p.is_file()):
        name = str(path.relative_to(data))
        if name.split("/")[0] in apart_from:
            continue
        content = path.read_bytes()
        hits = [w for w in words if w.encode() in content or w.encode("utf-16-le") in content]
        if hits:
            found[name] = hits
    return found


def test_a_canary_reaches_no_log_no_report_and_no_message_whether_runs_are_good_or_fail(
    child: Children, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    deliver(data, is_broken=True)
    shutil.copytree(data / "landing", data / "inbox")
    # Fits the types as far as they are known, and fails on the first city that is no number.
    failing = CONFIG_WITH_A_MODEL.replace(
        "  busy: {", '  numbered: {rules: [{value: "x", when: "city in (1)"}]}\n  busy: {'
    )
    day = ("run", "--from", "2026-03-15", "--to", "2026-03-15")
    refused = run(child, data, CONFIG_WITH_A_MODEL, *day)
    assert refused.status == 1
    assert "4 files were refused as a whole" in refused.said
    failed = run(child, data, failing, *day)
    assert failed.status == 1
    assert "Could not convert string" in failed.said
    good = run(child, data, CONFIG_WITH_A_MODEL, *day)
    assert good.status == 0, good.said
    looked = [run(child, data, CONFIG_WITH_A_MODEL, *arguments) for arguments in (("doctor",), ("rejected", "list"))]
    for done in (refused, failed, good, *looked):
        assert [word for word in (SECRET, *PERSONS) if word in done.said] == [], done.said
    assert found_in(data, (SECRET,), apart_from=()) == {}
    assert found_in(data, PERSONS, apart_from=DATA) == {}
    # Else nothing was looked for that is anywhere.
    everywhere = found_in(data, PERSONS, apart_from=())
    assert {"profile.duckdb", "serving.duckdb"} <= everywhere.keys()
    assert (data / "dagster_home").is_dir()
    report = data / "reports" / "2026-03-09" / "index.html"
    assert "interest:keyword=shoes" in report.read_text(encoding="utf-8")
    shown = run(child, data, CONFIG_WITH_A_MODEL, "rejected", "show", "--source", "web")
    assert E_MAIL in shown.said


hostile = st.sampled_from(HOSTILE).filter(lambda text: "\r" not in text and "\n" not in text)


@settings(
    max_examples=examples(12, torture=300),
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
@given(
    value=hostile,
    name=hostile,
    kind=hostile,
    file=hostile.filter(lambda text: "/" not in text and not text.startswith(".") and "\x00" not in text),
)
def test_what_would_be_run_is_stored_as_it_is_and_runs_nothing(value: str, name: str, kind: str, file: str) -> None:
    config = CONFIG.replace("    attributes: [tier]\n  crm_whole", "    attributes: all\n  crm_whole").replace(
        "  app:\n    table: events", f"    roles: {{{_quoted(kind)}: view}}\n  app:\n    table: events"
    ).replace('value: "yes", when', f"value: {_quoted(value)}, when")  # fmt: skip
    with line(config) as told:
        before = {t.name for t in all_tables(told.settings)}
        cells = {
            "id": "e1",
            "ts": "2026-03-14T10:00:00Z",
            "action": kind,
            "cookie": value,
            "uid": "u1",
            "sku": value,
            "q": value,
            "url": value,
            "price": "1",
            "qty": "1",
        }
        rows = [cells, cells | {"id": value, "sku": "i1"}]
        landed = told.paths.landing
        _land(
            landed / "web" / f"{file}.csv",
            [HEADERS["web"].split(","), *([row.get(c, "") for c in HEADERS["web"].split(",")] for row in rows)],
        )
        _land(
            landed / "crm" / "a.csv",
            [[*HEADERS["crm"].split(","), name], ["u1", value, value, "1990", value, "2026-03-01T00:00:00Z", value]],
        )
        told.ingest()
        told.refresh()
        w = told.warehouse
        stripped = value.strip()
        assert {
            f"{s}.{t}" for s, t in w.rows("select schema_name, table_name from duckdb_tables() where not temporary")
        } == before
        loaded, rejected = w.rows(
            "select cast(sum(n_loaded) as bigint), cast(sum(n_rejected) as bigint) from raw.files"
        )[0]
        assert loaded + rejected == 3
        assert w.rows("select path from raw.files where source = 'web'") == [(f"web/{file}.csv",)]
        assert {v.strip() for (v,) in w.rows("select item_id from raw.events where event_id = 'e1'")} <= {stripped}
        assert {v.strip() for (v,) in w.rows("select gender from raw.users where gender is not null")} <= {stripped}
        assert {v for (v,) in w.rows("select distinct value from profiles.tags where tag = 'busy'")} <= {value, "no"}
        assert sorted(p.name for p in told.paths.data.iterdir()) == [
            "archive",
            "landing",
            "profile.duckdb",
            "profile.duckdb.lease",
            "profile.duckdb.wal",
        ]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'" if text else "'x'"


def _land(path: Path, rows: list[list[str]]) -> None:
    import csv

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
