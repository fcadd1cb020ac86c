"""How single values become others: amounts rounded, text folded, numbers read, names hashed; said here a second time, in Python.

Not here: what a row is made of, or the engine's own functions, which are what this is held against.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

# Spaces of all alphabets: what a search is freed of at both ends, and what separates no words in it.
SPACES = " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
KINDS = ("user", "email", "phone", "anonymous", "device")


def rounded(value: Decimal, places: int) -> Decimal:
    """Round half away from zero, exactly.

    Examples
    --------
    >>> rounded(Decimal("2.345"), 2), rounded(Decimal("-2.345"), 2)
    (Decimal('2.35'), Decimal('-2.35'))
    """
    with localcontext() as context:
        context.prec = 80
        return value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


def quotient_of_cents(amount: Decimal, by: int) -> Decimal | None:
    """Divide an amount, in doubles and in cents as the tables do, and round to the cent; nothing by zero."""
    if not by:
        return None
    return rounded(Decimal(float(amount * 100) / by), 0).scaleb(-2)


def share(top: float, bottom: float) -> float | None:
    """Divide two doubles; nothing by zero."""
    return top / bottom if bottom else None


def folded(text: str) -> str:
    """Return the text in lower case, character by character.

    Examples
    --------
    >>> folded("ΑΣ İ")
    'ασ i'
    """
    return "".join(character.lower()[:1] for character in text)


def words_of(query: str) -> list[str]:
    """Return the words of a search, each of at most 64 characters."""
    line = re.sub(r"[ \t\n\f\r]+", " ", query).strip(SPACES)
    return [word[:64] for word in folded(line).split(" ") if word]


def page_of(url: str | None, item_id: str | None) -> str | None:
    """Return the path of an address without host, query and fragment, else the item; at most 64 characters.

    Examples
    --------
    >>> page_of("https://shop.example/a/b?x=1#y", "i1"), page_of("?x", "i1"), page_of(None, None)
    ('/a/b', 'i1', None)
    """
    path = url or ""
    if scheme := re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", path):
        rest = path[scheme.end() :]
        ends = [place for mark in "/?#" if (place := rest.find(mark)) >= 0]
        path = rest[min(ends) :] if ends else ""
    # A query ends with its line: one that holds a line feed is no query, as the engine reads it.
    last_line = path.rfind("\n") + 1
    ends = [place for mark in "?#" if (place := path.find(mark, last_line)) >= 0]
    path = path[: min(ends)] if ends else path
    page = path or item_id
    return None if page is None else page[:64]


def number_of(text: str | None) -> float | None:
    """Read a number as the engine does: in ASCII, with spaces around it or without."""
    if text is None or not text.isascii():
        return None
    try:
        return float(text)
    except ValueError:
        return None


def profile_of(head_alias: str, key: str) -> str:
    """Return the profile_id of the profile whose highest alias this is."""
    return "p" + hashlib.sha256((key + head_alias).encode()).hexdigest()[:20]


def session_of(stream_id: str, first_event_id: str) -> str:
    """Return the session_id of a session by its stream and first event."""
    return "s" + hashlib.sha256(f"{stream_id}|{first_event_id}".encode()).hexdigest()[:20]


def strength(alias_id: str) -> tuple[int, str]:
    """Return what sorts the strongest alias first: by kind, then by text."""
    kind = alias_id.partition(":")[0]
    return KINDS.index(kind), alias_id


def md5_of(parts: list[str | None]) -> str:
    """Return the md5 of the parts written one after the other with bars between, what is not known as nothing."""
    return hashlib.md5("|".join(part or "" for part in parts).encode(), usedforsecurity=False).hexdigest()


def said(text: str | None) -> Any:
    """Return what JSON says; numbers stay the text that they are, so that nothing is rounded."""
    return None if text is None else json.loads(text, parse_float=Number, parse_int=Number)


class Number(str):
    """A number in JSON, as it is written: no text equals it."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and str.__eq__(self, other)

    __hash__ = str.__hash__


def merged(older: Any, newer: Any) -> Any:
    """Lay a JSON object over another, field by field; a null takes a field away (RFC 7396). Numbers are written anew by it."""
    if not isinstance(newer, dict):
        return _anew(newer)
    result = dict(older) if isinstance(older, dict) else {}
    for name, value in newer.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _anew(value: Any) -> Any:
    if isinstance(value, list):
        return [_anew(inner) for inner in value]
    if isinstance(value, dict):
        return {name: _anew(inner) for name, inner in value.items()}
    return _shortest(value) if isinstance(value, Number) else value


def _shortest(number: Number) -> Number:
    """Return a number in the fewest digits that say the same double; whole numbers without a point stay as they are.

    Examples
    --------
    >>> [str(_shortest(Number(text))) for text in ("2.50", "1e2", "1e-7", "12345678901234567890", "1E+300")]
    ['2.5', '100.0', '1e-7', '12345678901234567890', '1e300']
    """
    if number.lstrip("-").isdigit():
        return number
    value = float(number)
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        digits = format(Decimal(repr(value)), "f")
        return Number(digits if "." in digits else digits + ".0")
    return Number(re.sub(r"e\+?(-?)0*", r"e\1", repr(value)))


def as_json_number(value: float) -> Number:
    """Return a double as the engine writes it into JSON.

    Examples
    --------
    >>> [str(as_json_number(value)) for value in (0.5, 3.0, 1e-7)]
    ['0.5', '3.0', '1e-7']
    """
    return _shortest(Number(repr(value)))


def text_in(attributes: Mapping[str, Any] | None, name: str) -> str | None:
    """Return what attributes say under a name, as text; blank is nothing."""
    value = attributes.get(name) if attributes else None
    return None if value is None else (value if isinstance(value, str) else _json(value)) or None


def _json(value: Any) -> str:
    """Write JSON as the engine does: without spaces, numbers as they are."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_json(name)}:{_json(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    return str(value) if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)
