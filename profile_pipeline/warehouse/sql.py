"""SQL files as data: their text, the parameters they bind, the tables they read, and how one is confined to some rows or reads
stand-ins of its tables.

Not here: running SQL, or the SQL itself, which lies beside the stage that it belongs to.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import sqlglot
from sqlglot import exp

_NOT_CODE = re.compile(r"--[^\n]*|'(?:[^']|'')*'")
_PARAMETER = re.compile(r"\$([a-z_][a-z0-9_]*)")


@cache
def sql_file(table: str) -> str:
    """Return the text of `<stage>/<table>.sql`.

    Raises
    ------
    FileNotFoundError
        If the stage has no such file.
    """
    stage, name = table.split(".")
    return (resources.files("profile_pipeline") / stage / f"{name}.sql").read_text(encoding="utf-8")


@cache
def parameter_names(sql: str) -> frozenset[str]:
    """Return the names of the parameters that a text binds."""
    return frozenset(_PARAMETER.findall(_NOT_CODE.sub(" ", sql)))


def bound(sql: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return exactly the parameters that a text binds; the engine refuses any other.

    Raises
    ------
    KeyError
        If one is not known.
    """
    missing = sorted(parameter_names(sql) - known.keys())
    if missing:
        raise KeyError(f"parameters without a value: {', '.join(missing)}")
    return {name: known[name] for name in parameter_names(sql)}


def tables_read(sql: str) -> frozenset[str]:
    """Return the names of the tables and views that a text reads, its own CTEs left out."""
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    own = {cte.alias for cte in tree.find_all(exp.CTE)}
    named = {f"{t.db}.{t.name}" if t.db else t.name for t in tree.find_all(exp.Table)}
    return frozenset(name for name in named if name not in own)


def confined(sql: str, *, tables: Sequence[str], scope: str, keys: Sequence[str]) -> str:
    """Return the text with each of `tables` replaced by its rows whose keys stand in `scope`.

    The same text then computes all rows or the touched ones, so the incremental result can't differ from the full one but
    for the rows it leaves alone.
    """

    def replaced(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Table) and f"{node.db}.{node.name}" in tables:
            inner = f"select * from {node.db}.{node.name} semi join {scope} using ({', '.join(keys)})"
            return exp.Subquery(
                this=sqlglot.parse_one(inner, dialect="duckdb"),
                alias=exp.TableAlias(this=exp.to_identifier(node.alias or node.name)),
            )
        return node

    return sqlglot.parse_one(sql, dialect="duckdb").transform(replaced).sql(dialect="duckdb", comments=False)


def reading(sql: str, stand_ins: Mapping[str, str]) -> str:
    """Return the text with tables replaced by relations that stand in for them.

    Parameters
    ----------
    stand_ins
        Relation by the qualified name of the table that it stands for.
    """

    def replaced(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Table) and (relation := stand_ins.get(f"{node.db}.{node.name}")):
            return exp.to_table(relation, alias=node.alias or node.name, dialect="duckdb")
        return node

    return sqlglot.parse_one(sql, dialect="duckdb").transform(replaced).sql(dialect="duckdb", comments=False)
