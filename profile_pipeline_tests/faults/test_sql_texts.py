"""No text of SQL holds what is not ours: each field of an f-string is a constant, a name of a table, a number, quoted, escaped, or allowed here.

The rule S608 of ruff can't tell these apart; this does. Not here: how fields are found and followed (`sql_texts`).
"""

import ast
from functools import cache

import pytest

from profile_pipeline_tests.conftest import ROOT
from profile_pipeline_tests.faults.sql_texts import Doubt, Package

# Reads nothing; writes expressions into profile.yaml, which are parsed like those of a person.
LEFT_OUT = {"world", "proposing"}
# `<module>: <expression>`, in quotes where the expression stands within quotes of SQL; by the reason why it may.
ALLOWED: dict[str, set[str]] = {
    "a condition or an expression that was parsed, which may only compare columns that are known, and that sqlglot has written": {
        "applications/audiences.py: c.sql", "warehouse/binding.py: expression", "profiles/tags.py: c.sql", "raw/mapping.py: e.sql",
    },
    "names of columns that such a condition reads, each of a list of our own": {
        "profiles/tags.py: parse_condition(rule.when, RULE_COLUMNS).quantiles",
    },
    "it is parsed by sqlglot, and no engine runs it": {"raw/mapping.py: text"},
    "names in the settings are plain words: test_security.py tries others": {
        "orchestration/assets/profiles.py: settings.models", "orchestration/building/judging.py: part.gates", "orchestration/building/judging.py: settings.models",
        "orchestration/building/reporting.py: settings.models", "orchestration/building/scoring.py: settings.models", "orchestration/demo.py: settings.models",
        "orchestration/keeping/rebuilding.py: settings.models", "orchestration/running.py: self.settings.models", "orchestration/verifying/scores_again.py: settings.models",
        "orchestration/configuration.py: settings.tags", "raw/readers/contents.py: 'name'",
    },
    "roles of our list: the settings take no other": {
        "orchestration/building/frames.py: 'settings.features.role_weights'", "orchestration/building/recommending.py: 'settings.features.role_weights'",
    },
    "names of attributes have no quotes: the settings, or the check of tags, take no other": {"profiles/tags.py: 'tag.fact'"},
    "numbers, of the settings or counted": {
        "profiles/tags.py: tag.min_confidence", "profiles/tags.py: threshold", "raw/readers/contents.py: i",
    },
    "a name of a table, a column or a field of our own": {
        "features/matrix.py: column", "orchestration/verifying/archive_read_again.py: table.name",
        "orchestration/verifying/sampled_rows.py: RawEvent._fields", "warehouse/duckdb.py: self.rows(…)", "warehouse/serving.py: warehouse.rows(…)",
    },
    "a text of SQL of our own, which is looked at where it is made": {
        "orchestration/checks.py: law.query", "orchestration/keeping/recovering.py: selection.condition", "orchestration/verifying/sampled_rows.py: more",
        "orchestration/verifying/verify.py: balance.query", "warehouse/duckdb.py: source",
    },
    "such a text whose tables sqlglot has replaced": {
        "warehouse/sql.py: node.db", "warehouse/sql.py: node.name", "warehouse/sql.py: sqlglot.parse_one(sql, dialect='duckdb').transform(replaced).sql(…)",
    },
}  # fmt: skip


def package(**modules: str) -> Package:
    return Package({f"{name}.py": ast.parse(text) for name, text in modules.items()})


@cache
def checked() -> tuple[list[Doubt], set[str]]:
    root = ROOT / "profile_pipeline"
    files = [path for path in sorted(root.rglob("*.py")) if not LEFT_OUT & set(path.parts)]
    trees = {path.relative_to(root).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in files}
    found = Package(trees, {told for those in ALLOWED.values() for told in those})
    return found.doubts(), found.used


def test_no_text_of_sql_holds_what_is_not_ours() -> None:
    doubts, _ = checked()
    assert doubts == []


def test_nothing_is_allowed_that_is_not_there() -> None:
    _, used = checked()
    assert {told for those in ALLOWED.values() for told in those} - used == set()


# What a person could write: the first of each pair is refused for what is named, the second is not.
PLANTED = {
    "a value within quotes": (
        "def people(w, city: str):\n    return w.rows(f\"select * from cleaned.users where city = '{city}'\")",
        "def people(w, city: str):\n    return w.rows('select * from cleaned.users where city = $city', {'city': city})",
        "planted.py: 'city'",
    ),
    "a quoted identifier within quotes": (
        "def f(w, name: str):\n    w.execute(f\"select '{quote_identifier(name)}'\")",
        "def f(w, name: str):\n    w.execute(f\"select {quote_identifier(name)}\")",
        "planted.py: 'quote_identifier(…)'",
    ),
    "escaped for within quotes, and outside of them": (
        "def f(w, path: str):\n    w.execute(f\"select * from {_literal(path)}\")",
        "def f(w, path: str):\n    w.execute(f\"attach '{_literal(path)}'\")",
        "planted.py: _literal(…)",
    ),
    "a name from outside": (
        "def f(w, table: str):\n    w.execute(f'delete from {table}')",
        "def f(w, table: Table):\n    w.execute(f'delete from {table.name} where n > {LEAST}')",
        "planted.py: table",
    ),
    "a name of what is no table": (
        "def f(w, file: LandingFile):\n    w.execute(f'select {file.name}')",
        "def f(w, day: dt.date):\n    w.execute(f\"select date '{day}'\")",
        "planted.py: file.name",
    ),
    "by another name, and a part that is no text of SQL by itself": (
        "def f(w, city: str):\n    part = f\"x = '{city}'\"\n    where = ' or '.join([part])\n    w.execute(f'select 1 where {where}')",
        "def f(w):\n    parts = ' or '.join(f\"x = '{role}'\" for role in ('view', 'read'))\n    w.execute(f'select 1 where {parts}')",
        "planted.py: 'city'",
    ),
    "given by a caller": (
        "def f(w, where: str):\n    w.execute(f'delete from t where {where}')\ndef g(w, asked: Asked):\n    f(w, asked.text)",
        "def f(w, where: str):\n    w.execute(f'delete from t where {where}')\ndef g(w):\n    f(w, 'n = $n')",
        "planted.py: asked.text",
    ),
    "returned by a function": (
        "def f(w):\n    w.execute(f'select {g()} as n')\ndef g():\n    return input()",
        "def f(w):\n    w.execute(f'select {g()} as n')\ndef g():\n    return '1'",
        "planted.py: input(…)",
    ),
    "what the tables hold": (
        "def f(w):\n    for city, in w.rows('select city from users'):\n        w.execute(f'select {city}')",
        "def f(w):\n    for city in ('a', 'b'):\n        w.execute(f'select {city}')",
        "planted.py: w.rows(…)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PLANTED)
def test_a_text_that_holds_what_is_not_ours_is_found(case: str) -> None:
    planted, harmless, expected = PLANTED[case]
    assert [doubt.told for doubt in package(planted=planted).doubts()] == [expected]
    assert package(planted=harmless).doubts() == []
