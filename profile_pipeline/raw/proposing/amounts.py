"""How amounts are written: signs of currency, point or comma before the cents, what stands between thousands, brackets for less than nothing.

Values in, a style out. Not here: what the other columns of a file say of one that can be read two ways (`amount_columns`).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST = 0.95
DECIMAL = re.compile(r"^[+-]?(\d+([.]\d*)?|[.]\d+)([eE][+-]?\d+)?$", re.ASCII)
CURRENCIES = frozenset({
    "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "INR", "JPY", "KRW", "MXN", "NOK", "NZD", "PLN", "RUB", "SEK", "SGD", "THB",
    "TRY", "TWD", "USD", "ZAR",
})  # fmt: skip
CURRENCY_OF_SIGN = {
    "$": "USD", "US$": "USD", "€": "EUR", "£": "GBP", "¥": "CNY", "￥": "CNY", "元": "CNY", "RMB": "CNY", "R$": "BRL", "₹": "INR", "₽": "RUB", "₺": "TRY",
    "₩": "KRW", "zł": "PLN", "Kč": "CZK",
} | {code: code for code in CURRENCIES}  # fmt: skip
_SIGN = "|".join(re.escape(sign) for sign in sorted(CURRENCY_OF_SIGN, key=len, reverse=True))
_GROUP_MARKS = "'\u2019 \u00a0\u202f"
# Bounded, so that a field of a megabyte is looked at once.
_AMOUNT = re.compile(
    rf"^[-+(\s]{{0,4}}(?P<before>{_SIGN})?[-+(\s]{{0,4}}(?P<digits>[0-9][0-9.,{_GROUP_MARKS}]{{0,40}}?|[.][0-9]{{1,20}})"
    rf"\s{{0,2}}\)?\s{{0,2}}(?P<after>{_SIGN})?\)?$"
)
# Thousands in India stand in twos: 1,23,456.
_WITH_POINT = re.compile(
    rf"(?:[1-9][0-9]{{0,2}}(?:,[0-9]{{2,3}})*,[0-9]{{3}}|[1-9][0-9]{{0,2}}(?:[{_GROUP_MARKS}][0-9]{{3}})+|[0-9]+)(?:[.][0-9]*)?|[.][0-9]+"
)
_WITH_COMMA = re.compile(rf"(?:[1-9][0-9]{{0,2}}(?:[.{_GROUP_MARKS}][0-9]{{3}})+|[0-9]+)(?:,[0-9]{{1,4}})?")
_OF_MONEY = re.compile(r"^[^\d:/]{0,5}\d[\d.,'\s]*[.,]\d{2}[^\d:/]{0,5}$|^[^\d:/]{0,2}[$€£¥￥₹₽₺₩]|[$€£¥￥元₹₽₺₩]$")


@dataclass(frozen=True)
class AmountStyle:
    """How the amounts of a column are written.

    Attributes
    ----------
    decimal
        The decimal mark that the values show; None where each of them could be read with either.
    doubtful_mark
        The point or comma that stands before three digits everywhere: between thousands, or before a fraction.
    is_plain
        Every amount is one that our reader takes as it is, if its point is a decimal one.
    has_signs
        Some carry a sign of currency, brackets or a blank.
    has_brackets
        Some stand in brackets, as accountants write what is below zero.
    """

    decimal: str | None
    doubtful_mark: str | None
    is_plain: bool
    has_signs: bool
    has_brackets: bool

    def plain_sql(self, text: str, decimal: str) -> str:
        """Return an expression that makes plain numbers of a text of this style."""
        signed = f"replace({text}, '(', '-')" if self.has_brackets else text
        if decimal == ".":
            return f"regexp_replace({signed}, '[^0-9.-]', '', 'g')"
        if self.has_signs:
            return f"replace(regexp_replace({signed}, '[^0-9,-]', '', 'g'), ',', '.')"
        return f"replace(replace({text}, '.', ''), ',', '.')"


def style_of(values: Sequence[str]) -> AmountStyle | None:
    """Return how amounts are written, or None where they are no amounts, or written in several ways.

    Examples
    --------
    >>> [style_of([value]).decimal for value in ("7.433,53 €", "$1,234.50", "12,5", "4.403", "7")]
    [',', '.', ',', None, None]
    """
    read = {value: found["digits"] for value in values if (found := _AMOUNT.match(value))}
    # To take all but digits out of 1e5 would make 15 of it.
    if any(DECIMAL.match(value) for value in values if value not in read):
        return None
    digits = [read[value] for value in values if value in read]
    by_point = [bool(_WITH_POINT.fullmatch(text)) for text in digits]
    by_comma = [bool(_WITH_COMMA.fullmatch(text)) for text in digits]
    n_point_only = sum(p and not c for p, c in zip(by_point, by_comma, strict=True))
    n_comma_only = sum(c and not p for p, c in zip(by_point, by_comma, strict=True))
    n_fitting = sum(by_comma if n_comma_only > n_point_only else by_point)
    if not values or n_fitting < MOST * len(values):
        return None
    is_told = n_point_only != n_comma_only
    marks = {mark for mark in ".," if any(mark in text for text in digits)}
    if not is_told and len(marks) > 1:
        return None
    return AmountStyle(
        decimal=("," if n_comma_only > n_point_only else ".") if is_told else None,
        doubtful_mark=marks.pop() if marks and not is_told else None,
        is_plain=all(DECIMAL.match(value) for value in read),
        has_signs=not all(re.fullmatch(r"[+-]?[\d.,]+", value, re.ASCII) for value in read),
        has_brackets=any("(" in value for value in read),
    )


def has_negative(values: Iterable[str]) -> bool:
    """Say whether an amount is below zero."""
    return any(value.startswith("-") or (_AMOUNT.match(value) and re.search("[-(]", value)) for value in values)


def currency_of(values: Iterable[str]) -> str | None:
    """Return the one currency that signs and codes beside amounts name."""
    matches = (_AMOUNT.match(value) for value in values)
    signs = {CURRENCY_OF_SIGN[sign] for m in matches if m and (sign := m["before"] or m["after"])}
    return signs.pop() if len(signs) == 1 else None


def look_like_money(values: Sequence[str]) -> bool:
    """Say whether nearly all values end in two decimals, or carry a sign of currency."""
    return bool(values) and sum(bool(_OF_MONEY.search(value)) for value in values) >= MOST * len(values)
