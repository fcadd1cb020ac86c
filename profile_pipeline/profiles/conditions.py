"""The conditions of `when:` and `where:`: SQL over known columns, parsed and refused before anything runs.

Allowed are comparisons, and, or, not, in, between, is null, like, arithmetic, coalesce, case, and `quantile(column, q)` of all
people. Not here: what a condition is used for.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

_ALLOWED = (
    exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.And, exp.Or, exp.Not, exp.Paren, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT,
    exp.LTE, exp.In, exp.Between, exp.Is, exp.Like, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Neg, exp.Coalesce, exp.Case, exp.If, exp.Lower, exp.Tuple,
)  # fmt: skip
TWENTIETHS = {f"0.{n // 2}" if n % 2 == 0 else f"0.{5 * n:02d}": n for n in range(1, 20)}


class ConditionError(Exception):
    """A condition can't be used; the text says why and what is near."""


@dataclass(frozen=True)
class Condition:
    """A condition as SQL.

    Attributes
    ----------
    sql
        With columns quoted, and quantiles as columns `quantile:<key>`.
    columns
        Columns that it reads.
    quantiles
        Keys of `models.population` that it reads, `<column>:<q>`.
    """

    sql: str
    columns: tuple[str, ...]
    quantiles: tuple[str, ...]


def parse_condition(text: str, known: Iterable[str], *, has_quantiles: bool = True) -> Condition:
    """Parse a condition.

    Parameters
    ----------
    known
        Columns that it may read.

    Raises
    ------
    ConditionError
        If it is not SQL, reads an unknown column, or does what a condition must not.
    """
    names = sorted(known)
    try:
        tree = sqlglot.parse_one(text, dialect="duckdb")
    except sqlglot.errors.SqlglotError as error:
        raise ConditionError(f"found {text!r}, expected a condition: {str(error).splitlines()[0]}") from None
    columns: list[str] = []
    quantiles: list[str] = []

    def quantile_column(node: exp.Expression) -> exp.Expression:
        if (
            isinstance(node, exp.Quantile | exp.Anonymous)
            and (node.name == "quantile" or isinstance(node, exp.Quantile))
            and has_quantiles
        ):
            arguments = node.expressions if isinstance(node, exp.Anonymous) else [node.this, node.args.get("quantile")]
            if (
                len(arguments) != 2
                or not isinstance(arguments[0], exp.Column)
                or not isinstance(arguments[1], exp.Literal)
            ):
                raise ConditionError(f"found {node.sql()!r}, expected quantile(column, 0.8)")
            q = str(float(arguments[1].name)) if arguments[1].name.replace(".", "", 1).isdigit() else ""
            if q not in TWENTIETHS:
                raise ConditionError(f"found the quantile {arguments[1].name}, expected one of {', '.join(TWENTIETHS)}")
            key = f"{_checked(arguments[0].name, names, text)}:{q}"
            quantiles.append(key)
            return exp.column(exp.to_identifier(f"quantile:{key}", quoted=True))
        return node

    tree = tree.transform(quantile_column)
    for node in tree.walk():
        if not isinstance(node, _ALLOWED):
            raise ConditionError(
                f"found {node.sql(dialect='duckdb')!r} in {text!r}: {type(node).__name__.lower()} is not allowed in a condition"
            )
        if isinstance(node, exp.Column) and not node.name.startswith("quantile:"):
            if node.table:
                raise ConditionError(f"found {node.sql()!r}, expected a column by its bare name")
            columns.append(_checked(node.name, names, text))
            node.this.set("quoted", True)
    return Condition(tree.sql(dialect="duckdb"), tuple(dict.fromkeys(columns)), tuple(dict.fromkeys(quantiles)))


def _checked(name: str, names: list[str], text: str) -> str:
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else f" (known: {', '.join(names[:12])}, …)"
        raise ConditionError(f"found the column {name!r} in {text!r}, which is not known{hint}")
    return name
