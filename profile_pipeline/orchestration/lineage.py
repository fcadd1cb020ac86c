"""Which tables and columns a table comes from, derived from the SQL that makes it; kept by content, because it is slow.

Not here: Dagster's types, or SQL itself. What is derived can't disagree with what runs.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.lineage import lineage as lineage_of
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import build_scope

CACHE_FILE = "lineage_cache.json"


@dataclass(frozen=True)
class Lineage:
    """The tables that a query reads and, by output column, the (table, column) pairs it comes from."""

    tables: tuple[str, ...]
    columns: dict[str, tuple[tuple[str, str], ...]]


def _content(sql: str, schemas: Mapping[str, Mapping[str, str]]) -> str:
    text = json.dumps(
        [sql, {table: dict(columns) for table, columns in sorted(schemas.items())}, sqlglot.__version__], sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def derive(sql: str, schemas: Mapping[str, Mapping[str, str]], views: Mapping[str, str]) -> Lineage:
    """Derive the lineage of a query from its text.

    Parameters
    ----------
    sql
        One select in DuckDB's dialect.
    schemas
        Columns and types of every table that may be read.
    views
        Temporary relations that stand for a query, by name.
    """
    tree = sqlglot.parse_one(sql, dialect="duckdb")

    def expanded(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Table) and not node.db and node.name in views:
            inner = sqlglot.parse_one(views[node.name], dialect="duckdb").transform(expanded)
            return exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(node.alias or node.name)))
        return node

    whole = tree.transform(expanded)
    tables = sorted({f"{t.db}.{t.name}" for t in whole.find_all(exp.Table) if t.db} & schemas.keys())
    nested: dict[str, Any] = {}
    for table, columns in schemas.items():
        schema, name = table.split(".")
        nested.setdefault(schema, {})[name] = dict(columns)
    # Qualified once for all columns: stars are spelt out, and each column names its table.
    whole = qualify(whole, schema=nested, dialect="duckdb", validate_qualify_columns=False, identify=False)
    scope = build_scope(whole)
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for column in whole.named_selects if isinstance(whole, exp.Query) else ():
        try:
            node = lineage_of(column, whole, nested, scope=scope, dialect="duckdb", copy=False, trim_selects=False)
        except (SqlglotError, KeyError, ValueError):
            continue
        leaves = set()
        for leaf in node.walk():
            if not leaf.downstream and isinstance(leaf.source, exp.Table) and leaf.source.db:
                leaves.add((f"{leaf.source.db}.{leaf.source.name}", leaf.name.split(".")[-1].strip('"')))
        found[column] = tuple(sorted(leaf for leaf in leaves if leaf[0] in schemas))
    return Lineage(tables=tuple(tables), columns=found)


class LineageCache:
    """Lineage by content of query and schemas; what the package does not hold is derived and remembered for the process."""

    def __init__(self, schemas: Mapping[str, Mapping[str, str]], views: Mapping[str, str]) -> None:
        self._schemas, self._views = schemas, views
        file = resources.files("profile_pipeline.orchestration") / CACHE_FILE
        self._kept: dict[str, dict] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        self.used: dict[str, dict] = {}

    def of(self, sql: str) -> Lineage:
        """Return the lineage of a query."""
        content = _content(sql + json.dumps(dict(self._views), sort_keys=True), self._schemas)
        if content not in self._kept:
            derived = derive(sql, self._schemas, self._views)
            self._kept[content] = {
                "tables": list(derived.tables),
                "columns": {c: [list(s) for s in v] for c, v in derived.columns.items()},
            }
        self.used[content] = self._kept[content]
        kept = self._kept[content]
        return Lineage(tuple(kept["tables"]), {c: tuple((t, n) for t, n in v) for c, v in kept["columns"].items()})

    def write(self, path: Path) -> None:
        """Write what was used, for the package to hold."""
        path.write_text(json.dumps(self.used, indent=0, sort_keys=True), encoding="utf-8")
