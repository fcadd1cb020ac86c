"""Amounts of a file written down: which mark is the decimal one where a column alone does not tell, and what a person should know.

Not here: what the values of one column tell (`amounts`), or the rest of a mapping (`writing`).
"""

import re
from collections.abc import Iterable, Iterator

from profile_pipeline.raw.proposing.amounts import AmountStyle, has_negative
from profile_pipeline.raw.proposing.kinds import ColumnKind
from profile_pipeline.raw.proposing.sample import Sample, sql_of
from profile_pipeline.raw.proposing.vocabulary import meanings_of

MONEY = ("price", "cost_amount", "amount")
_COUNTED = (*MONEY, "quantity")
_GROUPED = re.compile(r"[0-9][.,][0-9]{3}")


def number_sql(sample: Sample, meaning: str, kind: ColumnKind) -> str:
    """Return a number as our reader takes it: without signs of currency, with a decimal point, less than zero with a minus."""
    style = kind.amounts
    return kind.reference if style is None else _written(kind, style, _decimal(sample, meaning, kind, style))


def _written(kind: ColumnKind, style: AmountStyle, decimal: str) -> str:
    return kind.reference if style.is_plain and decimal == "." else style.plain_sql(sql_of(kind), decimal)


def cast_sql(sample: Sample, meaning: str, kind: ColumnKind) -> str:
    """Return the number as one that an expression can compare."""
    number = number_sql(sample, meaning, kind)
    text = sql_of(kind) if number == kind.reference else f"({number})"
    return f"cast(nullif(trim({text}), '') as {'bigint' if kind.is_integer else 'decimal(18, 4)'})"


def is_below_zero(kind: ColumnKind) -> bool:
    """Say whether a number of a column is below zero."""
    return has_negative(kind.counts)


def _decimal(sample: Sample, meaning: str, kind: ColumnKind, style: AmountStyle) -> str:
    """The decimal mark: by the values, else by other columns, else by where a file with `;` comes from."""
    if style.decimal or not _is_doubtful(sample, style):
        return style.decimal or "."
    told = _told_elsewhere(sample, kind)
    is_of_commas = _has_semicolons(sample) and meaning in _COUNTED and style.doubtful_mark == "."
    return told or ("," if is_of_commas else ".")


def _is_doubtful(sample: Sample, style: AmountStyle) -> bool:
    """JSON and Parquet write numbers in one way."""
    return style.doubtful_mark is not None and sample.written["format"] not in ("jsonl", "parquet")


def _has_semicolons(sample: Sample) -> bool:
    return sample.written.get("delimiter") == ";"


def _told_elsewhere(sample: Sample, kind: ColumnKind) -> str | None:
    """The decimal mark that other columns show: a comma in any, a point in amounts, as versions have points everywhere."""
    others = [k for k in sample.columns if k.name != kind.name and k.amounts is not None and k.amounts.decimal]
    if any(k.amounts is not None and k.amounts.decimal == "," for k in others):
        return ","
    return "." if any(set(_COUNTED) & meanings_of(k.name).keys() for k in others) else None


def notes_on_amounts(sample: Sample, mapped: Iterable[tuple[str, ColumnKind]]) -> Iterator[str]:
    """Tell what was guessed of amounts, and which do not count.

    Parameters
    ----------
    mapped
        What a column is for us, and the column.
    """
    for meaning, kind in mapped:
        if meaning in _COUNTED and kind.amounts is not None and _is_doubtful(sample, kind.amounts):
            yield from _doubt(sample, meaning, kind, kind.amounts)
        if meaning == "price" and is_below_zero(kind):
            yield (
                f"{kind.name} holds prices below zero, and such an event does not count (invalid_price):"
                " what is given back has a price above zero, and a type of event with the role refund"
            )


def _doubt(sample: Sample, meaning: str, kind: ColumnKind, style: AmountStyle) -> Iterator[str]:
    told, decimal = _told_elsewhere(sample, kind), _decimal(sample, meaning, kind, style)
    # Where nothing speaks for decimal commas, a comma between thousands is how everybody writes.
    if told == "." or (told is None and style.doubtful_mark == "," and not _has_semicolons(sample)):
        return
    mark = "point" if style.doubtful_mark == "." else "comma"
    places = ("before decimals", "between thousands")
    taken, other = places if style.doubtful_mark == decimal else reversed(places)
    why = ", because other columns have decimal commas" if told else ""
    yield (
        f"{kind.name} can be read in two ways: the {mark} of {next(filter(_GROUPED.search, kind.values))} is taken to stand {taken}{why};"
        f" if it stands {other}, write: {_written(kind, style, '.' if decimal == ',' else ',')}"
    )
