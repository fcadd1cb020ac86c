"""Conditions of rules and audiences, evaluated over one row in Python; true, false, or not known.

They are parsed by the parser that the stages use; what they say is found out here without the engine. Not here: what a condition
is used for.
"""

import datetime as dt
import math
import operator
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Any

import sqlglot
from sqlglot import exp

from profile_pipeline.profiles.conditions import Condition
from profile_pipeline.verification.values import folded


class NotEvaluatedError(Exception):
    """A condition compares what is compared by the engine's own conversions only."""


_COMPARED: dict[type[exp.Expr], Callable[[Any, Any], bool]] = {
    exp.EQ: operator.eq, exp.NEQ: operator.ne, exp.GT: operator.gt, exp.GTE: operator.ge, exp.LT: operator.lt, exp.LTE: operator.le,
}  # fmt: skip
_COUNTED: dict[type[exp.Expr], Callable[[Any, Any], Any]] = {
    exp.Add: operator.add, exp.Sub: operator.sub, exp.Mul: operator.mul,
}  # fmt: skip


def is_true(condition: Condition, row: Mapping[str, Any]) -> bool:
    """Say whether a condition holds for a row; what is not known does not hold.

    Raises
    ------
    NotEvaluatedError
        If it compares a text with a number, or the like.

    Examples
    --------
    >>> from profile_pipeline.profiles.conditions import parse_condition
    >>> is_true(parse_condition("n >= 3 and not (x > 1)", ["n", "x"]), {"n": 3, "x": Decimal("0.5")})
    True
    >>> is_true(parse_condition("n >= 3 and x > 1", ["n", "x"]), {"n": 3, "x": None})
    False
    """
    with localcontext() as context:
        context.prec = 76
        return _value(_tree(condition.sql), row) is True


@lru_cache(maxsize=1000)
def _tree(sql: str) -> exp.Expr:
    return sqlglot.parse_one(sql, dialect="duckdb")


def _value(node: exp.Expr, row: Mapping[str, Any]) -> Any:
    kind = type(node)
    if isinstance(node, exp.Column):
        return row[node.name]
    if isinstance(node, exp.Literal):
        return _literal(node)
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Null):
        return None
    if isinstance(node, exp.Paren):
        return _value(node.this, row)
    if isinstance(node, exp.And | exp.Or):
        return _joined(
            _value(node.args["this"], row), _value(node.args["expression"], row), is_and=isinstance(node, exp.And)
        )
    if isinstance(node, exp.Not):
        value = _value(node.this, row)
        return None if value is None else not value
    if isinstance(node, exp.Is):
        return _is(_value(node.this, row), node.expression)
    if kind in _COMPARED:
        return _compared(_COMPARED[kind], _value(node.args["this"], row), _value(node.args["expression"], row))
    if isinstance(node, exp.In):
        return _any(_compared(operator.eq, _value(node.this, row), _value(one, row)) for one in node.expressions)
    if isinstance(node, exp.Between):
        value, low, high = (_value(node.args[name], row) for name in ("this", "low", "high"))
        return _joined(_compared(operator.ge, value, low), _compared(operator.le, value, high), is_and=True)
    if kind in _COUNTED or isinstance(node, exp.Div | exp.Neg):
        return _number(node, row)
    return _function(node, row)


def _function(node: exp.Expr, row: Mapping[str, Any]) -> Any:
    if isinstance(node, exp.Coalesce):
        return next((v for one in (node.this, *node.expressions) if (v := _value(one, row)) is not None), None)
    if isinstance(node, exp.Case):
        for case in node.args["ifs"]:
            told = case.this if node.this is None else exp.EQ(this=node.this.copy(), expression=case.this.copy())
            if _value(told, row) is True:
                return _value(case.args["true"], row)
        return _value(node.args["default"], row) if node.args.get("default") else None
    if isinstance(node, exp.Lower):
        text = _value(node.this, row)
        return None if text is None else folded(text)
    if isinstance(node, exp.Like):
        text, pattern = _value(node.this, row), _value(node.expression, row)
        return None if text is None or pattern is None else _like(text, pattern)
    raise NotEvaluatedError(f"{type(node).__name__.lower()} in a condition")


def _literal(node: exp.Literal) -> Any:
    if node.is_string:
        return node.name
    if "e" in node.name.lower():
        return float(node.name)
    return Decimal(node.name) if "." in node.name else int(node.name)


def _joined(left: bool | None, right: bool | None, *, is_and: bool) -> bool | None:
    settles = not is_and
    if left is settles or right is settles:
        return settles
    return None if left is None or right is None else is_and


def _any(found: Any) -> bool | None:
    told = list(found)
    return True if True in told else (None if None in told else False)


def _is(value: Any, what: exp.Expr) -> bool:
    if isinstance(what, exp.Null):
        return value is None
    if isinstance(what, exp.Boolean):
        return value is bool(what.this)
    raise NotEvaluatedError(f"is {what.sql(dialect='duckdb')}")


def _compared(how: Callable[[Any, Any], bool], left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    left, right = _alike(left, right)
    if isinstance(left, float):
        # Not-a-number is itself, and above all numbers.
        left, right = ((math.isnan(value), 0.0 if math.isnan(value) else value) for value in (left, right))
    return how(left, right)


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Bring two values to one type, as the engine does: a decimal beside a double becomes one."""
    numbers = (int, Decimal, float)
    if (
        isinstance(left, numbers)
        and isinstance(right, numbers)
        and not isinstance(left, bool)
        and not isinstance(right, bool)
    ):
        return (float(left), float(right)) if isinstance(left, float) or isinstance(right, float) else (left, right)
    if type(left) is type(right):
        return left, right
    if isinstance(left, str) and type(right) is dt.date:
        return _date(left), right
    if type(left) is dt.date and isinstance(right, str):
        return left, _date(right)
    raise NotEvaluatedError(f"{type(left).__name__} beside {type(right).__name__}")


def _date(text: str) -> dt.date:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise NotEvaluatedError(f"{text!r} beside a date")
    return dt.date.fromisoformat(text)


def _number(node: exp.Expr, row: Mapping[str, Any]) -> Any:
    if isinstance(node, exp.Neg):
        value = _value(node.this, row)
        return None if value is None else -value
    left, right = _value(node.args["this"], row), _value(node.args["expression"], row)
    if left is None or right is None:
        return None
    left, right = _alike(left, right)
    if isinstance(left, str | bool | dt.date):
        raise NotEvaluatedError(f"counting with {type(left).__name__}")
    if isinstance(node, exp.Div):
        return _divided(float(left), float(right))
    return _COUNTED[type(node)](left, right)


def _divided(top: float, bottom: float) -> float:
    """Divide two doubles as the engine does: by zero it gives infinity, or no number."""
    if bottom:
        return top / bottom
    return math.nan if math.isnan(top) or not top else math.copysign(math.inf, top) * math.copysign(1, bottom)


def _like(text: str, pattern: str) -> bool:
    parts = (".*" if sign == "%" else "." if sign == "_" else re.escape(sign) for sign in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None
