"""Nothing that comes from outside is run: values, names, files and settings are tried with what would be, if anything were.

Not here: what people and other programs read (`test_hostile_output`).
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from profile_pipeline.profiles.conditions import ConditionError, parse_condition
from profile_pipeline.raw.landing import complete_files, matches
from profile_pipeline.raw.mapping import Expression, MappingError, columns_needed, select_list
from profile_pipeline.raw.readers.evaluate import connect
from profile_pipeline.settings import Settings
from profile_pipeline.settings_file import load_settings
from profile_pipeline.table import quote_identifier
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.opening import HARDENED, WarehouseError
from profile_pipeline.warehouse.reading import Serving
from profile_pipeline_tests.conftest import ROOT
from profile_pipeline_tests.faults.deliveries import CONFIG, HEADERS
from profile_pipeline_tests.faults.hostile import CALM, HOSTILE, hostile

# A column that may be read, beside which an attacker would like to read more.
KNOWN = ["n_events_30d", "city"]
ENGINE = duckdb.connect(":memory:", config=HARDENED)


# ---- conditions and expressions: what is parsed is what runs


@CALM
@given(st.lists(st.sampled_from([*HOSTILE, "city", "n_events_30d", "=", ">", "and", "(", ")", "'a'", "1", "union select", "from", ", ", "in", "case when", "::"]) | hostile, min_size=1, max_size=6))  # fmt: skip
def test_no_condition_reads_or_does_anything_but_compare_its_columns(parts: list[str]) -> None:
    text = " ".join(parts)
    try:
        condition = parse_condition(text, KNOWN, has_quantiles=False)
    except ConditionError:
        return
    assert set(condition.columns) <= set(KNOWN)
    asked = f"select ({condition.sql}) from known"
    assert [s.type for s in duckdb.extract_statements(asked)] == [duckdb.StatementType.SELECT]
    ((parsed,),) = ENGINE.execute("select json_serialize_sql($sql)", {"sql": asked}).fetchall()
    kinds = set(_values_of(json.loads(parsed), "type"))
    assert not kinds & {
        "TABLE_FUNCTION",
        "SUBQUERY",
        "SELECT_SUBQUERY",
        "WINDOW_AGGREGATE",
        "STAR",
        "VALUE_PARAMETER",
        "LAMBDA",
    }
    assert list(_values_of(json.loads(parsed), "table_name")).count("known") == 1


def _values_of(tree: Any, name: str) -> Iterator[Any]:
    if isinstance(tree, dict):
        if name in tree:
            yield tree[name] if isinstance(tree[name], str) else None
        tree = list(tree.values())
    for part in tree if isinstance(tree, list) else ():
        yield from _values_of(part, name)


@pytest.mark.parametrize(
    "text",
    [
        "(select count(*) from read_text('/etc/passwd')) > 0", "city in (select city from secret)", "exists (select 1)", "read_text('/etc/passwd') = 'x'", "getenv('HOME') = 'x'", "city = 'a'); drop table x; --",
        "city = 'a' union select 1", "current_setting('secret_directory') = 'x'", "city in (from secret)", "pg_read_file('x') = ''", "city ~ 'x'", "list_transform([1], x -> x) = [1]", "secret.city = 'x'", "$1 = 1", "? = 1",
        "city collate nocase = 'x'", "city::json = 'x'", "try_cast(city as int) = 1", "query('select 1') = 1", "city = (values (1))", "sum(n_events_30d) over () > 1", "nextval('s') = 1", "columns('.*') = 1", "* = 1",
    ],
)  # fmt: skip
def test_what_asks_for_more_than_its_columns_is_no_condition(text: str) -> None:
    with pytest.raises(ConditionError):
        parse_condition(text, KNOWN)


@pytest.mark.parametrize(
    "text",
    [
        "read_text('/etc/passwd')", "(select 1)", "getenv('HOME')", "current_setting('temp_directory')", "query('select 1')", "ts; drop table x", "ts from secret", "glob('/*')", "sum(ts)", "*", "$1", "read_csv('x')",
        "parquet_metadata('x')", "pragma_version()", "sniff_csv('x')", "read_blob('x')", "list_transform([1], x -> (select 1))", "(from record)", "row_number() over ()", "columns('.*')", "nextval('s')", "txid_current()", "duckdb_settings()",
        "setseed(0.5)", "install_x", "load_x()",
    ],
)  # fmt: skip
def test_a_mapping_is_refused_or_can_reach_nothing(text: str) -> None:
    source = Settings.model_validate(yaml.safe_load(CONFIG)).sources["web"]
    source = source.model_copy(update={"columns": source.columns | {"url": text}})
    names = HEADERS["web"].split(",")
    try:
        (found,) = [
            e for e in columns_needed(source, names).values() if isinstance(e, Expression) and "'o'" not in e.sql
        ]
    except (MappingError, ValueError):
        return
    with connect() as engine:
        engine.execute("create table record as select 'x' as ts")
        with pytest.raises(duckdb.Error):
            engine.execute(f"select {select_list({'url': found})} from record").fetchall()


@CALM
@given(hostile.filter(lambda name: name and "\x00" not in name))
def test_a_quoted_name_is_a_name_whatever_it_holds(name: str) -> None:
    ENGINE.execute(f"create or replace temp table kept ({quote_identifier(name)} integer)")
    found = ENGINE.execute("select table_name, column_name from duckdb_columns() where not internal").fetchall()
    assert found == [("kept", name)]


# ---- what is opened is closed to all else


def reaching(folder: Path) -> list[str]:
    """Queries that would read or write something that is not a table."""
    (folder / "secret.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    secret = folder / "secret.csv"
    return [
        f"select * from read_csv('{secret}')", f"select * from '{secret}'", f"select * from read_text('{secret}')", f"select * from read_blob('{secret}')", f"select * from glob('{folder}/*')",
        f"select * from sniff_csv('{secret}')", f"select * from read_json('{secret}')", "select * from read_text('/etc/passwd')", "select * from read_csv('http://127.0.0.1:9/x.csv')", "select * from 'https://example.com/x.parquet'",
        "select * from read_parquet('s3://bucket/x')", f"select * from parquet_scan('{secret}')", f"select * from query('select * from read_text(''{secret}'')')",
    ]  # fmt: skip


def acting(folder: Path) -> list[str]:
    """Statements that would change something, on disk or in what is allowed."""
    return [
        f"copy (select 1) to '{folder}/out.csv'", f"attach '{folder}/other.duckdb'", f"export database '{folder}/out'", "install httpfs", "load httpfs", "install x from community", "set enable_external_access = true",
        "set lock_configuration = false", "reset lock_configuration", "set allowed_directories = ['/']", "pragma enable_profiling", f"set temp_directory = '{folder}'", "create secret s (type s3)", "call enable_logging()",
        f"import database '{folder}'", f"copy from database x to '{folder}'", "select 1; select 2", "set autoinstall_known_extensions = true",
    ]  # fmt: skip


def test_a_query_of_a_person_reads_tables_and_nothing_else(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    writing = Warehouse(data / "profile.duckdb", owner="a test", say=print)
    writing.execute("create table kept as select 1 as n")
    writing.close()
    (data / "profile.yaml").write_text(CONFIG, encoding="utf-8")
    asked = Warehouse(data / "profile.duckdb", owner="a test", say=print, is_read_only=True)
    for query in [*reaching(data), *reaching(tmp_path), *acting(data), "delete from kept", "select * from x"]:
        with pytest.raises((duckdb.Error, WarehouseError)) as refused:
            asked.read_only(query)
        assert "1,2" not in str(refused.value), query
    asked.close()
    assert sorted(p.name for p in data.iterdir() if not p.name.endswith(".lease")) == [
        "profile.duckdb",
        "profile.yaml",
        "secret.csv",
    ]
    command = [
        sys.executable,
        "-m",
        "profile_pipeline.cli",
        "sql",
        "--config",
        str(data / "profile.yaml"),
        "--data",
        str(data),
    ]
    done = subprocess.run(
        [*command, f"select * from read_text('{data}/profile.yaml')"], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "Permission" in done.stderr
    assert "calendar" not in done.stderr


@pytest.mark.parametrize("door", ["the warehouse", "the published copy", "expressions of a mapping"])
def test_every_connection_is_closed_to_files_networks_and_changes_of_its_own_settings(
    door: str, tmp_path: Path
) -> None:
    path, outside = tmp_path / "data" / "w.duckdb", tmp_path / "outside"
    outside.mkdir()
    writing = Warehouse(path, owner="a test", say=print)
    writing.execute("create table kept as select 1 as n")
    opened = {
        "the warehouse": lambda: writing.connection,
        "the published copy": lambda: (writing.close(), Serving(path)._connection)[1],
        "expressions of a mapping": connect,
    }[door]()
    variable = "a Python variable"  # noqa: F841
    for query in [*reaching(outside), *acting(outside), "select * from variable"]:
        if query == "select 1; select 2":
            continue
        with pytest.raises(duckdb.Error):
            opened.execute(query).fetchall()
    assert list(outside.iterdir()) == [outside / "secret.csv"]
    opened.close()


def test_no_connection_is_opened_that_is_not_hardened() -> None:
    found = [
        (path.name, node.lineno)
        for path in (ROOT / "profile_pipeline").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "duckdb.connect" and not any(k.arg == "config" for k in node.keywords)
    ]  # fmt: skip
    assert found == []
    assert set(HARDENED) == {"autoinstall_known_extensions", "autoload_known_extensions", "allow_community_extensions", "python_enable_replacements"}  # fmt: skip
    with connect() as engine:
        for name in HARDENED:
            assert engine.execute("select current_setting($name)", {"name": name}).fetchall() == [(False,)]


# ---- settings and paths


@CALM
@given(hostile)
def test_a_name_in_the_settings_is_a_plain_word_or_refused(name: str) -> None:
    plain = yaml.safe_load(CONFIG)
    for section in ("sources", "tags"):
        tree = plain | {section: {name: next(iter(plain[section].values()))}}
        try:
            accepted = Settings.model_validate(tree)
        except ValidationError:
            continue
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
        assert name in getattr(accepted, section)


@pytest.mark.parametrize("value", ["'1GB'; attach 'x'", "1GB' ", "x", "1GB\n", "-1GB"])
def test_a_limit_of_memory_is_a_number_of_bytes(value: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(yaml.safe_load(CONFIG) | {"memory_limit": value})


@pytest.mark.parametrize(
    "text", ["!!python/object/apply:os.system ['touch pwned']", "!!python/name:os.system", "a: !!python/module:os", "!!python/object/new:os.system [touch pwned]"]
)  # fmt: skip
def test_settings_that_would_run_code_are_refused(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "profile.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(Exception, match="not YAML"):
        load_settings(tmp_path / "profile.yaml")
    assert [p.name for p in tmp_path.iterdir()] == ["profile.yaml"]


@CALM
@given(st.lists(hostile.filter(lambda p: "/" not in p), min_size=1, max_size=3), st.sampled_from(["*.csv", "web/*.csv", "**/*.csv", "web/**", "../*", "../../**", "/etc/*"]))  # fmt: skip
def test_a_pattern_matches_within_its_folder_only(parts: list[str], pattern: str) -> None:
    name = "/".join(part or "x" for part in parts)
    if matches(name, pattern):
        assert ".." not in pattern
        assert len(parts) >= len([p for p in pattern.split("/") if p and p != "**"])


def test_nothing_outside_of_the_landing_folder_lands(tmp_path: Path) -> None:
    landing, outside = tmp_path / "landing", tmp_path / "outside"
    (landing / "web").mkdir(parents=True)
    outside.mkdir()
    for path in (outside / "a.csv", landing / "web" / "a.csv", tmp_path / "b.csv"):
        path.write_text("x", encoding="utf-8")
    (landing / "web" / "linked.csv").symlink_to(outside / "a.csv")
    (landing / "folder").symlink_to(outside)
    tree = yaml.safe_load(CONFIG)
    for pattern in ("web/*.csv", "../*.csv", "../outside/*.csv", "web/../../b.csv", "**", "folder/*"):
        tree["sources"]["web"]["path"] = pattern
        found = complete_files(landing, Settings.model_validate(tree).sources, now_seconds=4e9, stable_seconds=0)
        assert {f.path.resolve() for f in found} == {landing / "web" / "a.csv"}


# ---- the rules that keep it so

UNSAFE = {
    "S301": "import pickle\nx = pickle.loads(b'')", "TID251": "import pickle", "S307": "x = eval(input())", "S102": "exec(input())", "S506": "import yaml\nx = yaml.load(input(), Loader=yaml.Loader)",
    "S602": "import subprocess\nsubprocess.run(input(), shell=True)", "S604": "def f(g, x):\n    g(x, shell=True)", "S605": "import os\nos.system(input())", "S302": "import marshal\nx = marshal.loads(b'')",
    "UP031": "x = 'select %s' % (input(),)", "S324": "import hashlib\nx = hashlib.md5(b'')", "S314": "import xml.etree.ElementTree as e\nx = e.parse('x')", "S501": "import requests\nrequests.get('https://x', verify=False, timeout=1)",
    "S306": "import tempfile\nx = tempfile.mktemp()", "S701": "import jinja2\nx = jinja2.Environment()",
}  # fmt: skip


def test_the_lint_refuses_what_runs_what_it_reads() -> None:
    for rule, text in UNSAFE.items():
        done = subprocess.run(
            [sys.executable, "-m", "ruff", "check", "--output-format", "json", "--no-cache", "--stdin-filename", str(ROOT / "profile_pipeline" / "snippet.py"), "-"],
            input=text, capture_output=True, text=True, cwd=ROOT,
        )  # fmt: skip
        assert rule in {fault["code"] for fault in json.loads(done.stdout)}, rule


def test_no_statement_is_put_together_but_by_names_of_our_own() -> None:
    """Of text by `+`, `%` or `format` nothing is run; what f-strings hold is looked at by `test_sql_texts`."""
    runs = {
        "execute",
        "rows",
        "scalar",
        "arrow",
        "dicts",
        "sql",
        "temporary",
        "insert",
        "insert_from",
        "replace_days",
        "days",
    }
    found = []
    for path in (ROOT / "profile_pipeline").rglob("*.py"):
        if path.parent.name == "world":  # it reads nothing
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in runs:
                found += [
                    (path.name, node.lineno)
                    for argument in node.args
                    if (isinstance(argument, ast.BinOp) and not isinstance(argument.op, ast.BitOr))
                    or (isinstance(argument, ast.Call) and ast.unparse(argument.func).endswith(".format"))
                ]
    assert found == []
