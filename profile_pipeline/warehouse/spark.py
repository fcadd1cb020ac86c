"""The second engine: the SQL files of the stages on Apache Spark, for when one machine is outgrown.

Here belong the few verbs that SQL steps need (views, queries with bound parameters, rows), the settings under which the files say
the same on both engines, and the translation: sqlglot's, and `REWRITES` for what it leaves to say. The session is the caller's, and
so are tables: what the catalog names `cleaned.events` is read as it stands, and a view may stand for it. Not here: starting or
configuring a cluster, writing tables, what any query means, or Dagster, whose assets run on DuckDB.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlglot
from sqlglot import exp

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Without these the files run and say something else: times are wall clocks without a zone, what overflows or can't be cast is an
# error, and a null in a JSON object is written.
SETTINGS: dict[str, str] = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.jsonGenerator.ignoreNullFields": "false",
}
# Unicode's category Zs.
SPACES = " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"


class SparkWarehouse:
    """The verbs of `warehouse.duckdb.Warehouse` that SQL steps need, on a given session, which gets `SETTINGS`.

    Parameters
    ----------
    session
        Its catalog holds the tables, as `<stage>.<table>`, unless `temporary` puts a view in their place.

    Examples
    --------
    >>> w = SparkWarehouse(session)  # doctest: +SKIP
    >>> w.temporary("cleaned.events", session.read.parquet("s3://…/events"))  # doctest: +SKIP
    >>> tiles = w.frame(sql_file("features.user_days"), parameters)  # doctest: +SKIP
    >>> tiles.write.partitionBy("event_date").parquet("s3://…/user_days")  # doctest: +SKIP
    """

    def __init__(self, session: "SparkSession") -> None:
        self.session = session
        self._views: set[str] = set()
        for name, value in SETTINGS.items():
            session.conf.set(name, value)
        session.udf.register("merged_json", json_merger(), "string")

    def frame(self, sql: str, parameters: Mapping[str, Any] | None = None) -> "DataFrame":
        """Return what a query in DuckDB's dialect says, not computed yet."""
        return self.session.sql(translated(sql, frozenset(self._views)), args=dict(parameters or {}))

    def arrow(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Return the rows of a query as an Arrow table; decimals stay decimals."""
        return self.frame(sql, parameters).toArrow()

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        columns = [column.to_pylist() for column in self.arrow(sql, parameters).columns]
        return list(zip(*columns, strict=True))

    def temporary(
        self, name: str, source: "pa.Table | DataFrame | str", parameters: Mapping[str, Any] | None = None
    ) -> None:
        """Make a view of Arrow rows, of a frame or of a query, replacing one of that name.

        A view of a query is computed each time it is read; cache a frame that several steps read. The name may be that of a table
        (`cleaned.events`): queries then read the view.
        """
        if isinstance(source, str):
            frame = self.frame(source, parameters)
        elif isinstance(source, pa.Table):
            frame = self.session.createDataFrame(_as_spark_takes(source))
        else:
            frame = source
        frame.createOrReplaceTempView(_view_name(name))
        self._views.add(name)

    def drop(self, *names: str) -> None:
        """Drop views."""
        for name in names:
            self.session.catalog.dropTempView(_view_name(name))
            self._views.discard(name)


def _view_name(name: str) -> str:
    """A view of Spark belongs to no schema."""
    return name.replace(".", "__")


def _as_spark_takes(rows: pa.Table) -> pa.Table:
    """Spark has no unsigned integers: 64 bits without a sign fit a decimal. PySpark fails on a list column without a chunk."""
    fields = [field.with_type(pa.decimal128(20, 0)) if field.type == pa.uint64() else field for field in rows.schema]
    schema = pa.schema(fields)
    if rows.num_rows == 0:
        return pa.table([pa.array([], field.type) for field in schema], schema=schema)
    return rows.cast(schema)


# ---- translation


@cache
def translated(sql: str, views: frozenset[str] = frozenset()) -> str:
    """Return a query in DuckDB's dialect as Spark's SQL.

    Parameters
    ----------
    views
        Qualified names that temporary views stand for.

    Raises
    ------
    ValueError
        If it says what has no proven translation.
    """
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    for node in reversed(list(tree.walk())):  # what is inside first: a rewrite takes it along
        for rewrite in REWRITES:
            written = rewrite(node)
            if written is not None:
                node.replace(written)
                break
        if isinstance(node, exp.Table) and node.db and f"{node.db}.{node.name}" in views:
            view = exp.to_table(_view_name(f"{node.db}.{node.name}"))
            node.replace(view.as_(node.alias or node.name, table=True))
    return tree.sql(dialect="spark", comments=False)


def json_is_text(node: exp.Expr) -> exp.Expr | None:
    """JSON has no type of its own on Spark: columns hold the text."""
    if isinstance(node, exp.Cast) and node.to.this == exp.DataType.Type.JSON:
        return exp.cast(node.this, "text")
    return None


def lower_by_character(node: exp.Expr) -> exp.Expr | None:
    """Spark lowers İ to two characters, and a Σ that ends a word to ς; DuckDB lowers each character by itself."""
    if isinstance(node, exp.Lower):
        first = exp.Translate(this=node.this.copy(), from_=exp.Literal.string("İΣ"), to=exp.Literal.string("iσ"))
        return exp.Lower(this=first)
    return None


def trim_of_any_space(node: exp.Expr) -> exp.Expr | None:
    """DuckDB trims all of Unicode's spaces, as the wide one of Chinese text; Spark trims the one of ASCII."""
    if isinstance(node, exp.Trim) and node.args.get("expression") is None:
        written = node.copy()
        written.set("expression", exp.Literal.string(SPACES))
        return written
    return None


def text_to_double(node: exp.Expr) -> exp.Expr | None:
    """Java takes `30d`, `1.5f` and `0x1p3` for numbers and DuckDB does not; of `1_000` it is the other way round."""
    if isinstance(node, exp.TryCast) and node.to.this == exp.DataType.Type.DOUBLE:
        text: exp.Expr = exp.cast(node.this, "text")
        for pattern, replacement in ((r"[xX]|[0-9.][dDfF]\s*$", "?"), ("(?<=[0-9])_(?=[0-9])", "")):
            text = exp.RegexpReplace(
                this=text,
                expression=exp.Literal.string(pattern),
                replacement=exp.Literal.string(replacement),
            )
        written = node.copy()
        written.set("this", text)
        return written
    return None


def complete_years(node: exp.Expr) -> exp.Expr | None:
    """`date_sub('year', a, b)` is an age on DuckDB, and another function on Spark."""
    if isinstance(node, exp.Anonymous) and node.name.lower() == "date_sub":
        unit, start, end = node.expressions
        if unit.name != "year":
            raise ValueError(f"date_sub of {unit.name} has no proven translation: {node.sql(dialect='duckdb')}")
        months = exp.Anonymous(this="months_between", expressions=[end.copy(), start.copy()])
        return exp.cast(exp.Div(this=months, expression=exp.Literal.number(12)), "int")
    return None


def merged_in_order(node: exp.Expr) -> exp.Expr | None:
    """`list_reduce(list_filter(l, …), lambda a, b: json_merge_patch(a, b), json('{}'))`: Spark has no merge of JSON."""
    if isinstance(node, exp.Anonymous) and node.name.lower() == "list_reduce":
        filtered, merge = node.expressions[:2]
        if not isinstance(filtered, exp.ArrayFilter) or "json_merge_patch" not in merge.sql(dialect="duckdb").lower():
            raise ValueError(f"this list_reduce has no proven translation: {node.sql(dialect='duckdb')}")
        return exp.Anonymous(this="merged_json", expressions=[filtered.this.copy()])
    return None


REWRITES: tuple[Callable[[exp.Expr], exp.Expr | None], ...] = (
    json_is_text,
    lower_by_character,
    trim_of_any_space,
    text_to_double,
    complete_years,
    merged_in_order,
)


def json_merger() -> Callable[[list[str | None]], str]:
    """Return the function that merges JSON objects in order by RFC 7396, nulls left out.

    Spark's workers run it and need not have this package: a function made here is sent as a whole, one of a module by its name.

    Examples
    --------
    >>> json_merger()(['{"a": 1, "b": {"x": 1}}', None, '{"b": {"y": 2}, "a": null}'])
    '{"b":{"x":1,"y":2}}'
    """

    def patched(target: Any, patch: Any) -> Any:
        if not isinstance(patch, dict):
            return patch
        old = target if isinstance(target, dict) else {}
        kept = {name: value for name, value in old.items() if name not in patch}
        return kept | {name: patched(old.get(name), value) for name, value in patch.items() if value is not None}

    def merged_json(objects: list[str | None]) -> str:
        import json

        merged: Any = {}
        for text in objects:
            if text is not None:
                merged = patched(merged, json.loads(text))
        return json.dumps(merged, ensure_ascii=False, separators=(",", ":"))

    return merged_json
