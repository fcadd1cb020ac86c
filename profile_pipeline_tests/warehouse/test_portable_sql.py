"""All SQL of the stages, files and rendered texts, against what was proven equal on DuckDB and Spark: an allow-list, because
nobody knows what was never tried.

A construct gets into `PROVEN` by having been executed on both engines with equal rows, not by having a translation. What is equal
only by a rewrite of `warehouse.spark` is named in `REWRITTEN`, text by text, so that it can't spread unseen.
"""

from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from profile_pipeline.applications.audiences import audiences_sql
from profile_pipeline.features.matrix import user_features_sql
from profile_pipeline.features.windows import VISIBLE
from profile_pipeline.models.labels import attribute_labels, outcome_labels
from profile_pipeline.models.population import population_sql
from profile_pipeline.profiles.tags import tags_sql
from profile_pipeline.settings import AttributeModelSettings, OutcomeModelSettings
from profile_pipeline.settings_file import load_settings
from profile_pipeline_tests.conftest import FIRST_DAY, ROOT

PACKAGE = ROOT / "profile_pipeline"
FILES = sorted(PACKAGE.glob("*/*.sql"))
SETTINGS = load_settings(ROOT / "profile.yaml")
BORN = AttributeModelSettings(task="attribute", label="birth_date", bands=(30,))
SIZED = AttributeModelSettings(task="attribute", label="attributes.size", bands=(30,))


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


# Files with a hole stand here as they are rendered.
TEXTS: dict[str, str] = {
    **{name_of(path): path.read_text(encoding="utf-8") for path in FILES},
    "models/population.sql": population_sql(),
    "models/outcome_labels.sql": outcome_labels(OutcomeModelSettings(task="outcome"), FIRST_DAY)[0],
    "models/attribute_labels.sql": attribute_labels(
        AttributeModelSettings(task="attribute", label="gender"), FIRST_DAY
    )[0],
    "models/labels.py: birth_date": attribute_labels(BORN, FIRST_DAY)[0],
    "models/labels.py: attributes.size": attribute_labels(SIZED, FIRST_DAY)[0],
    "features/matrix.py": user_features_sql(SETTINGS.features.attributes, has_events=True),
    "features/matrix.py: without events": user_features_sql(SETTINGS.features.attributes, has_events=False),
    **{f"features/windows.py: {view}": query for view, query in VISIBLE.items()},
    "profiles/tags.py": tags_sql(SETTINGS.tags, SETTINGS.models),
    "applications/audiences.py": audiences_sql(SETTINGS.audiences, SETTINGS.tags),
}
TREES = {name: sqlglot.parse_one(text, dialect="duckdb") for name, text in TEXTS.items()}

GRAMMAR = {
    exp.Select, exp.From, exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.With, exp.CTE, exp.Subquery, exp.Union, exp.Join, exp.Table,
    exp.TableAlias, exp.Alias, exp.Column, exp.Identifier, exp.Star, exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Placeholder, exp.Var, exp.Array, exp.Struct, exp.PropertyEQ,
    exp.DataType, exp.DataTypeParam, exp.Distinct, exp.Case, exp.If, exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE,
    exp.Between, exp.In, exp.Is, exp.Like, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.DPipe, exp.Interval, exp.Window,
    exp.WindowSpec, exp.Filter, exp.IgnoreNulls,
}  # fmt: skip
FUNCTIONS = {
    exp.Cast, exp.TryCast, exp.Coalesce, exp.Nullif, exp.Greatest, exp.Least, exp.Round, exp.Floor, exp.Ceil, exp.Count, exp.Sum, exp.Min, exp.Max,
    exp.ArgMin, exp.ArgMax, exp.RowNumber, exp.Lag, exp.Lead, exp.LastValue, exp.MD5, exp.SHA2, exp.ConcatWs, exp.Substring, exp.Lower, exp.Trim, exp.RegexpReplace,
    exp.RegexpLike, exp.DateDiff, exp.AtTimeZone, exp.Explode, exp.GenerateSeries, exp.Split, exp.ArrayAgg, exp.ArraySort, exp.GroupConcat,
    exp.Abs, exp.Extract, exp.Length, exp.Pad, exp.Year, exp.Map, exp.JSONExtractScalar, exp.JSONPath, exp.JSONPathRoot, exp.JSONPathKey,
}  # fmt: skip
PROVEN = GRAMMAR | FUNCTIONS
PROVEN_NAMES = {"to_json"}  # functions that sqlglot has no class for
REWRITTEN: dict[str, set[str]] = {
    "cleaned/users.sql": {"list_reduce", "json_merge_patch", "ArrayFilter", "Lambda", "ParseJSON"},
    "cleaned/items.sql": {"list_reduce", "json_merge_patch", "ArrayFilter", "Lambda", "ParseJSON"},
    "models/labels.py: birth_date": {"date_sub"},
}

of_each_text = pytest.mark.parametrize("name", TEXTS)


@of_each_text
def test_a_text_uses_what_was_proven_on_both_engines(name: str) -> None:
    found = {
        node.name.lower() if isinstance(node, exp.Anonymous) else type(node).__name__
        for node in TREES[name].walk()
        if type(node) not in PROVEN
    }
    assert found - PROVEN_NAMES == REWRITTEN.get(name, set())


@of_each_text
def test_only_the_first_match_is_never_what_is_replaced(name: str) -> None:
    # regexp_replace without 'g' replaces the first match on DuckDB and all of them on Spark.
    for call in TREES[name].find_all(exp.RegexpReplace):
        assert call.args.get("modifiers") is not None, call.sql()


@of_each_text
def test_a_list_is_sorted_as_a_whole_and_never_built_in_order(name: str) -> None:
    # list(x order by y) loses its order on Spark.
    for call in TREES[name].find_all(exp.ArrayAgg):
        assert not list(call.find_all(exp.Order)), call.sql()


@of_each_text
def test_what_is_divided_is_a_double_and_the_divisor_never_zero(name: str) -> None:
    # decimal / n is a double on DuckDB and a decimal on Spark, and n / 0 is infinite on one and an error on the other.
    for division in TREES[name].find_all(exp.Div):
        top, bottom = division.this, division.expression
        assert isinstance(top, exp.Cast) and top.to.this == exp.DataType.Type.DOUBLE, division.sql()
        assert isinstance(bottom, exp.Nullif) or (isinstance(bottom, exp.Literal) and float(bottom.name) != 0), (
            division.sql()
        )


@of_each_text
def test_dates_are_never_subtracted(name: str) -> None:
    # date - date is a number on DuckDB and an interval on Spark.
    for difference in TREES[name].find_all(exp.Sub):
        names = [side.unnest().name for side in (difference.this, difference.expression)]
        assert not [n for n in names if n.endswith(("_date", "_at", "_from", "_to"))], difference.sql()


@of_each_text
def test_time_differences_are_taken_in_days_or_of_whole_units(name: str) -> None:
    # date_diff of hours, minutes and seconds counts borders on DuckDB and full units on Spark.
    for difference in TREES[name].find_all(exp.DateDiff):
        assert difference.args["unit"].name.lower() == "day" or difference.find_ancestor(exp.Floor) is not None, (
            difference.sql()
        )


@of_each_text
def test_numbers_are_rounded_to_whole_ones(name: str) -> None:
    # round(x, 2) of a double looks at its text on Spark and at its bits on DuckDB.
    for call in TREES[name].find_all(exp.Round):
        assert call.args.get("decimals") is None, call.sql()


@of_each_text
def test_no_pattern_leaves_it_to_the_engine_what_a_space_or_a_word_is(name: str) -> None:
    # \s holds the vertical tab on Spark and not on DuckDB.
    for call in TREES[name].find_all(exp.RegexpReplace, exp.RegexpLike):
        pattern = call.expression.name if isinstance(call.expression, exp.Literal) else ""
        assert not {r"\s", r"\S", r"\w", r"\W", r"\b"} & {pattern[i : i + 2] for i in range(len(pattern))}, pattern


@of_each_text
def test_a_list_is_unnested_by_itself(name: str) -> None:
    # Spark refuses a generator inside of an expression.
    for call in TREES[name].find_all(exp.Explode):
        assert isinstance(call.parent, exp.Alias), call.sql()
