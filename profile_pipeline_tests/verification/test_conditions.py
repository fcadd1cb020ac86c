"""Conditions evaluated in Python say what the engine says of the same row."""

import datetime as dt
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profile_pipeline.profiles.conditions import parse_condition
from profile_pipeline.verification.conditions import NotEvaluatedError, is_true

TYPES = {"n": "BIGINT", "amount": "DECIMAL(18,2)", "share": "DOUBLE", "city": "VARCHAR", "seen": "DATE"}
ROWS = st.fixed_dictionaries({
    "n": st.none() | st.integers(-3, 12),
    "amount": st.none() | st.integers(-500, 500).map(lambda cents: Decimal(cents).scaleb(-2)),
    "share": st.none() | st.sampled_from([0.0, 0.1, 0.3, 1.0, -2.5, 1e-9, float("nan"), float("inf")]),
    "city": st.none() | st.sampled_from(["", "Xi'an", "Oslo", "OSLO", "%_"]),
    "seen": st.none() | st.dates(dt.date(2026, 1, 1), dt.date(2026, 1, 4)),
})  # fmt: skip
NUMBERS = st.recursive(
    st.sampled_from(["n", "amount", "share", "0", "3", "0.3", "1.25", "1e-1", "null"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda one: f"(-{one})"),
        st.tuples(inner, inner).map(lambda two: f"coalesce({two[0]}, {two[1]})"),
    ),
    max_leaves=3,
)
COMPARED = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
TEXTS = st.sampled_from(["city", "lower(city)", "'Oslo'", "null"])
SIMPLE = st.one_of(
    st.tuples(NUMBERS, COMPARED, NUMBERS).map(" ".join),
    st.tuples(TEXTS, COMPARED, TEXTS).map(" ".join),
    st.tuples(NUMBERS, NUMBERS, NUMBERS).map(lambda t: f"{t[0]} between {t[1]} and {t[2]}"),
    st.tuples(NUMBERS, NUMBERS, NUMBERS).map(lambda t: f"{t[0]} in ({t[1]}, {t[2]})"),
    st.sampled_from(["n is null", "city is not null", "city like 'O%'", "city like '_slo'", "city not in ('Oslo', 'Bergen')", "seen >= '2026-01-02'"]),
)  # fmt: skip
CONDITIONS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda one: f"not ({one})"),
        st.tuples(inner, inner, inner).map(lambda t: f"case when {t[0]} then {t[1]} else {t[2]} end"),
    ),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config={"threads": "1"})


@given(text=CONDITIONS, row=ROWS)
def test_a_condition_holds_in_python_where_it_holds_in_the_engine(
    engine: duckdb.DuckDBPyConnection, text: str, row: dict[str, Any]
) -> None:
    condition = parse_condition(text, TYPES)
    columns = ", ".join(f"cast(${name} as {kind}) as {name}" for name, kind in TYPES.items())
    said = engine.execute(f"select coalesce(({condition.sql}), false) from (select {columns})", row).fetchall()[0][0]
    assert is_true(condition, row) is said


def test_what_the_engine_converts_in_its_own_way_is_not_guessed() -> None:
    with pytest.raises(NotEvaluatedError, match="str beside int"):
        is_true(parse_condition("city = 5", TYPES), {"city": "5"})
