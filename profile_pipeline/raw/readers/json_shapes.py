"""Lines of JSON that look like one seen before: one regular expression takes the place of a parser.

A shape is made from a record that the strict parser has read. What it matches is JSON beyond doubt: the same names in the same
order, values of the same kinds, strings without escapes, numbers kept as they are written. Whatever it does not match is parsed
strictly. Not here: parsing, or what the fields mean.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_SPACE, _ENDS = " ?", r"[ \t\r]*"
_STRING = r'"([^"\\\x00-\x1f]*)"'
_OTHER = r"(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false)"
MOST_SHAPES = 8


@dataclass(frozen=True, eq=False)
class Shape:
    """Records of the same names: `names` are dotted, in order; where `is_open`, a value may be a string or something else."""

    names: tuple[str, ...]
    is_open: tuple[bool, ...]
    pattern: re.Pattern[str]

    def columns(self, matched: Sequence[tuple[str | None, ...]]) -> dict[str, Sequence[str | None]]:
        """Turn what the pattern matched into a column for each name."""
        groups = iter(zip(*matched, strict=True))
        found: dict[str, Sequence[str | None]] = {}
        for name, is_open in zip(self.names, self.is_open, strict=True):
            values = next(groups)
            if is_open:
                values = tuple(a if a is not None else b for a, b in zip(values, next(groups), strict=True))
            found[name] = values
        return found


def shape_of(record: dict[str, Any], *, wider: frozenset[str] = frozenset()) -> Shape | None:
    """Return the shape of a parsed record, or None where it holds a list, nothing, or the same dotted name twice.

    Parameters
    ----------
    wider
        Names whose value was a string in one record and is something else in this one.
    """
    names: list[str] = []
    is_open: list[bool] = []

    def pattern_of(value: dict[str, Any], prefix: str) -> str:
        parts = []
        for name, inner in value.items():
            key = re.escape(json.dumps(name, ensure_ascii=False))
            if isinstance(inner, dict):
                parts.append(f"{key}{_SPACE}:{_SPACE}{pattern_of(inner, f'{prefix}{name}.')}")
                continue
            if isinstance(inner, list):
                raise TypeError(name)
            names.append(prefix + name)
            is_open.append(not isinstance(inner, str) or prefix + name in wider)
            other = f"|{_OTHER}" if is_open[-1] else ""
            parts.append(f"{key}{_SPACE}:{_SPACE}(?:{_STRING}{other}|null)")
        between = f"{_SPACE},{_SPACE}"
        return rf"\{{{_SPACE}{between.join(parts)}{_SPACE}\}}"

    try:
        pattern = re.compile(_ENDS + pattern_of(record, "") + _ENDS)
    except TypeError:
        return None
    if not names or len(set(names)) < len(names):
        return None
    return Shape(tuple(names), tuple(is_open), pattern)


def learn(text: str, shapes: list[Shape]) -> None:
    """Add the shape of a record that is known to be strict JSON and that no shape matches, or widen the one that has its names."""
    if len(shapes) >= MOST_SHAPES:
        return
    # The strict parser keeps numbers as text: here their kind matters.
    narrow = shape_of(json.loads(text))
    if narrow is None:
        return
    for place, known in enumerate(shapes):
        if known.names == narrow.names:
            wider = frozenset(name for name, is_open in zip(known.names, known.is_open, strict=True) if is_open)
            shape = shape_of(json.loads(text), wider=wider)
            if shape is not None and shape.pattern.fullmatch(text):
                shapes[place] = shape
            return
    if narrow.pattern.fullmatch(text):
        shapes.append(narrow)
