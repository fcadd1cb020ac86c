"""Every SQL file against what was proven equal on DuckDB and Spark: an allow-list, because nobody knows what was never tried.

A construct gets into `PROVEN` by having been executed on both engines with equal rows, not by having a translation. What files
use beyond it is named in `NOT_PROVEN_YET`, file by file, so that it can't spread unseen.
"""

from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

PACKAGE = Path(__file__).parents[2] / "profile_pipeline"
FILES = sorted(PACKAGE.glob("*/*.sql"))

GRAMMAR = {
    exp.Select, exp.From, exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.With, exp.CTE, exp.Subquery, exp.Union, exp.Join, exp.Table,
    exp.TableAlias, exp.Alias, exp.Column, exp.Identifier, exp.Star, exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Placeholder, exp.Var,
    exp.DataType, exp.DataTypeParam, exp.Distinct, exp.Case, exp.If, exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE,
    exp.Between, exp.In, exp.Is, exp.Like, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.DPipe, exp.Interval, exp.Window,
    exp.WindowSpec, exp.Filter, exp.IgnoreNulls,
}  # fmt: skip
FUNCTIONS = {
    exp.Cast, exp.TryCast, exp.Coalesce, exp.Nullif, exp.Greatest, exp.Round, exp.Floor, exp.Ceil, exp.Count, exp.Sum, exp.Min, exp.Max,
    exp.RowNumber, exp.Lag, exp.Lead, exp.LastValue, exp.MD5, exp.SHA2, exp.ConcatWs, exp.Substring, exp.Lower, exp.Trim, exp.RegexpReplace,
    exp.ArgMin, exp.ArgMax, exp.RegexpLike, exp.DateDiff, exp.AtTimeZone, exp.Explode, exp.GenerateSeries, exp.Split, exp.ArrayAgg, exp.ArraySort, exp.GroupConcat,
}  # fmt: skip
PROVEN = GRAMMAR | FUNCTIONS
NOT_PROVEN_YET: dict[str, set[str]] = {
    "cleaned/judged_events.sql": {"Abs"},
    "cleaned/users.sql": {"list_reduce", "json_merge_patch", "ArrayFilter", "Lambda", "ParseJSON"},
    "features/user_days.sql": {"Extract"},
    "models/population.sql": {"Pad"},
    "profiles/user_profiles.sql": {"Array", "JSONArray"},
}


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def parsed(path: Path) -> exp.Expression:
    text = path.read_text(encoding="utf-8")
    for hole, filling in (("{measure}", "1"), ("{label}", "x"), ("{long}", "select 1 as name, 2 as value")):
        text = text.replace(hole, filling)
    return sqlglot.parse_one(text, dialect="duckdb")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_uses_what_was_proven_on_both_engines(path: Path) -> None:
    found = {
        node.name.lower() if isinstance(node, exp.Anonymous) else type(node).__name__
        for node in parsed(path).walk()
        if type(node) not in PROVEN
    }
    assert found == NOT_PROVEN_YET.get(name_of(path), set())


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_the_first_match_is_never_what_is_replaced(path: Path) -> None:
    # regexp_replace without 'g' replaces the first match on DuckDB and all of them on Spark.
    for call in parsed(path).find_all(exp.RegexpReplace):
        assert call.args.get("modifiers") is not None, call.sql()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_list_is_sorted_as_a_whole_and_never_built_in_order(path: Path) -> None:
    # list(x order by y) loses its order on Spark.
    for call in parsed(path).find_all(exp.ArrayAgg):
        assert not list(call.find_all(exp.Order)), call.sql()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_what_is_divided_is_a_double_and_the_divisor_never_zero(path: Path) -> None:
    # decimal / n is a double on DuckDB and a decimal on Spark, and n / 0 is infinite on one and an error on the other.
    for division in parsed(path).find_all(exp.Div):
        top, bottom = division.this, division.expression
        assert isinstance(top, exp.Cast) and top.to.this == exp.DataType.Type.DOUBLE, division.sql()
        assert isinstance(bottom, exp.Nullif) or (isinstance(bottom, exp.Literal) and float(bottom.name) != 0), (
            division.sql()
        )


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_dates_are_never_subtracted(path: Path) -> None:
    # date - date is a number on DuckDB and an interval on Spark.
    for difference in parsed(path).find_all(exp.Sub):
        names = [column.name for column in difference.find_all(exp.Column)]
        assert not [n for n in names if n.endswith(("_date", "_at", "_from", "_to"))], difference.sql()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_time_differences_are_taken_in_days_or_of_whole_units(path: Path) -> None:
    # date_diff of hours, minutes and seconds counts borders on DuckDB and full units on Spark.
    for difference in parsed(path).find_all(exp.DateDiff):
        assert difference.args["unit"].name.lower() == "day" or difference.find_ancestor(exp.Floor) is not None, (
            difference.sql()
        )
