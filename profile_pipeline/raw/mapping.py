"""What `columns:` of a source may say: a column of theirs, or a scalar expression over their columns.

Here expressions are parsed and refused; `readers.evaluate` runs them. Not here: types, reasons, files.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import exp

from profile_pipeline.source_settings import ListSettings, SourceSettings
from profile_pipeline.table import quote_identifier

# A bare word is a column's name even where SQL reserves it, but for the words that are values.
_WORD, _VALUES = re.compile(r"[^\W\d]\w*"), frozenset({"null", "true", "false"})
_HYPHENATED = re.compile(r"[^\W\d][\w.]*(-[^\W\d][\w.]*)+")
_REFUSED = (
    exp.Subquery, exp.Select, exp.AggFunc, exp.Window, exp.Table, exp.Star, exp.Parameter, exp.Placeholder, exp.Command,
    exp.DDL, exp.DML, exp.UDTF, exp.ReadCSV, exp.ReadParquet, exp.Columns,
    # What is another each time, or elsewhere: a file that is read again would give other rows.
    exp.Rand, exp.Uuid, exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp, exp.Localtime, exp.Localtimestamp, exp.CurrentVersion,
    exp.CurrentUser, exp.SessionUser, exp.CurrentSchema, exp.CurrentDatabase,
)  # fmt: skip
# Functions that sqlglot does not know by name are refused but for these, which neither read files nor settings.
_ALLOWED_ANONYMOUS = frozenset(
    {
        "strptime",
        "try_strptime",
        "regexp_extract",
        "printf",
        "epoch_ms",
        "make_timestamp",
        "to_timestamp",
        "strip_accents",
        "hash",
        "json_extract_string",
    }
)


class MappingError(Exception):
    """A mapping can't be used; the text says which, why and what is near."""


@dataclass(frozen=True)
class Expression:
    """A scalar expression, with their columns quoted."""

    sql: str
    reads: tuple[str, ...]


def check_source(name: str, source: SourceSettings) -> list[str]:
    """Return the faults of a source's expressions that show before any file is there."""
    faults = []
    for ours, theirs in source.mapped.items():
        # A name in a list of attributes is that of a column, whatever it looks like.
        if isinstance(theirs, str) and ours != f"attributes.{theirs}":
            try:
                _parse(theirs)
            except MappingError as error:
                faults.append(f"sources.{name}.columns.{ours}: {error}")
    return faults


def is_expression(text: str) -> bool:
    """Say whether a mapping may hold this text as it is; a name that it may not hold has to be quoted."""
    try:
        _parse(text)
    except MappingError:
        return False
    return True


def columns_needed(source: SourceSettings, available: Iterable[str]) -> dict[str, str | Expression | ListSettings]:
    """Resolve each of our columns to a column of theirs, an expression or a list.

    Raises
    ------
    MappingError
        With every column that the file does not have, and the nearest names.
    """
    names = list(available)
    # Where few columns of the source are in the header it may be a record, of a person, and is not told.
    named = _columns_named(source)
    told = names if 2 * len(set(names) & named) >= len(named) else []
    faults: list[str] = []
    resolved: dict[str, str | Expression | ListSettings] = {}
    for ours, theirs in source.mapped.items():
        if isinstance(theirs, ListSettings):
            wanted = theirs.flags or (theirs.split,)
            faults += [_missing(ours, column, told) for column in wanted if column not in names]
            resolved[ours] = theirs
        elif theirs in names:
            resolved[ours] = theirs
        elif _is_name(ours, theirs, names):
            faults.append(_missing(ours, theirs, told))
        else:
            expression = _bind(theirs)
            faults += [_missing(ours, column, told) for column in expression.reads if column not in names]
            resolved[ours] = expression
    if faults:
        if not told:
            faults.append(
                "the file's first line names few columns of this source, or none: it may be a record and no header"
            )
        raise MappingError("; ".join(faults))
    return resolved


def _columns_named(source: SourceSettings) -> set[str]:
    """Every column that the mapping names, whether it is a name or part of an expression."""
    named = {theirs for theirs in source.mapped.values() if isinstance(theirs, str)}
    return named | columns_read(source, ())


def columns_read(source: SourceSettings, available: Iterable[str]) -> set[str]:
    """Return every column of theirs that the mapping reads, be it there or not."""
    names, found = list(available), set()
    for ours, theirs in source.mapped.items():
        if isinstance(theirs, ListSettings):
            found |= set(theirs.flags or (str(theirs.split),))
        else:
            found |= {theirs} if _is_name(ours, theirs, names) else set(_bind(theirs).reads)
    return found


def _is_name(ours: str, theirs: str, names: list[str]) -> bool:
    """Say whether a text is the name of a column, be it there or not: `page-url` is, unless there are columns page and url."""
    if theirs in names or ours == f"attributes.{theirs}":
        return True
    return bool(_HYPHENATED.fullmatch(theirs)) and not set(theirs.split("-")) <= set(names)


def _missing(ours: str, theirs: str | None, names: list[str]) -> str:
    near = difflib.get_close_matches(str(theirs), names, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else f" (found: {', '.join(names[:20])})" if names else ""
    return f"{ours}: expected a column {theirs!r}{hint}"


def _parse(text: str) -> exp.Expression:
    if _WORD.fullmatch(text) and text.lower() not in _VALUES:
        return exp.column(exp.to_identifier(text, quoted=True))
    try:
        tree = sqlglot.parse_one(f"select {text}", dialect="duckdb")
    except sqlglot.errors.SqlglotError as error:
        raise MappingError(
            f"found {text!r}, expected a column or a scalar expression: {str(error).splitlines()[0]}"
        ) from None
    if (
        not isinstance(tree, exp.Select)
        or len(tree.expressions) != 1
        or tree.args.get("from_")
        or tree.args.get("from")
    ):
        raise MappingError(f"found {text!r}, expected one scalar expression")
    expression = tree.expressions[0]
    for node in expression.walk():
        if isinstance(node, _REFUSED):
            raise MappingError(
                f"found {text!r}: {type(node).__name__.lower()} is not allowed, expected a scalar expression over the source's columns"
            )
        if isinstance(node, exp.Anonymous) and node.name.lower() not in _ALLOWED_ANONYMOUS:
            raise MappingError(f"found {text!r}: the function {node.name} is not allowed here")
    return expression


@lru_cache(maxsize=4096)
def _bind(text: str) -> Expression:
    """Quote their columns; a dotted path is the name of a nested field. Kept: a mapping is bound for each file and batch."""
    tree = _parse(text)
    reads: list[str] = []

    def quoted(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Dot | exp.Column):
            path = (
                ".".join(part.name for part in node.parts)
                if isinstance(node, exp.Column)
                else node.sql(dialect="duckdb")
            )
            reads.append(path)
            return exp.column(exp.to_identifier(path, quoted=True))
        return node

    bound = tree.transform(quoted)
    return Expression(sql=bound.sql(dialect="duckdb"), reads=tuple(dict.fromkeys(reads)))


def select_list(expressions: Mapping[str, Expression]) -> str:
    """Return the select list that gives each expression as text under its name."""
    return ", ".join(f"cast({e.sql} as varchar) as {quote_identifier(name)}" for name, e in expressions.items())
