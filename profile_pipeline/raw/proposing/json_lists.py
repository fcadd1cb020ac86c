"""One JSON object that holds the records in a list of its own: where the list is, and how it is cut into lines.

Not here: JSON that is one object a record (`sample`), or reading it (`readers.json_texts`).
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from profile_pipeline.shell import jq_command

FEWEST = 2
_DECODER = json.JSONDecoder()
_BLANK = re.compile(r"\s*")
_PLAIN_KEY = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$", re.ASCII)


@dataclass(frozen=True)
class ListWithin:
    """A list of objects within the only object of a file.

    Attributes
    ----------
    path
        Names on the way to it.
    n_objects
        Objects in it; None where the file was not looked at to its end.
    is_in_array
        The only object is itself the one entry of an array.
    file
        The file, as a command names it.
    """

    path: tuple[str, ...]
    n_objects: int | None
    is_in_array: bool
    file: Path

    @property
    def told(self) -> str:
        """What was found, what is expected, and the command that makes lines of it."""
        steps = "".join(f".{key}" if _PLAIN_KEY.match(key) else f"[{json.dumps(key)}]" for key in self.path)
        where = (".[]" if self.is_in_array else "" if steps.startswith(".") else ".") + steps
        held = "many objects" if self.n_objects is None else f"{self.n_objects:,} objects"
        return (
            f"found one object, of which {'.'.join(self.path)} holds {held}, expected one object a record."
            f" They become lines with: {jq_command(f'{where}[]', self.file)}"
        )


def list_within(text: str, file: Path) -> ListWithin | None:
    """Return the longest list of objects of a text that is one object, or that was cut within a list of its first object."""
    start = text.lstrip("\ufeff \t\r\n")
    is_in_array = start.startswith("[")
    place = _past_blank(start, 1) if is_in_array else 0
    if start[place : place + 1] != "{":
        return None
    try:
        found, end = _DECODER.raw_decode(start, place)
    except ValueError:
        path = _cut_list(start, place)
        return ListWithin(path, None, is_in_array, file) if path else None
    except RecursionError:
        return None
    if start[end:].strip() != ("]" if is_in_array else ""):
        return None
    lists = sorted(_lists(found, ()), key=lambda one: one[1])
    return ListWithin(*lists[-1], is_in_array, file) if lists else None


def _lists(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    """The lists of objects below an object, with their lengths."""
    for key, part in value.items():
        if isinstance(part, dict):
            yield from _lists(part, (*path, key))
        elif isinstance(part, list) and len(part) >= FEWEST and all(isinstance(one, dict) for one in part):
            yield (*path, key), len(part)


def _cut_list(text: str, place: int) -> tuple[str, ...] | None:
    """The path of the list of objects that a text, an object from `place` on, ends within; None where it ends elsewhere."""
    try:
        return _walked(text, place, ())[0]
    except (ValueError, IndexError, RecursionError):
        return None


def _walked(text: str, place: int, path: tuple[str, ...]) -> tuple[tuple[str, ...] | None, int]:
    """Go through an object from its brace on: the list that the text ends within, and where the object ends."""
    while text[place := _past_blank(text, place + 1)] != "}":
        key, place = _DECODER.raw_decode(text, place)
        place = _past_blank(text, _past_blank(text, place) + 1)
        if text[place] == "{":
            found, place = _walked(text, place, (*path, key))
            if found:
                return found, place
        elif text[place] == "[" and _ends_within(text, place):
            return (*path, key), len(text)
        else:
            place = _DECODER.raw_decode(text, place)[1]
        place = _past_blank(text, place)
        if text[place] != ",":
            break
    return None, place + 1


def _ends_within(text: str, place: int) -> bool:
    """Say whether a list from `place` on is of objects and not closed where the text ends."""
    n_whole = 0
    while True:
        place = _past_blank(text, place + 1)
        if place >= len(text):
            return n_whole >= FEWEST
        if text[place] != "{":
            return False
        try:
            place = _past_blank(text, _DECODER.raw_decode(text, place)[1])
        except ValueError:
            return n_whole >= FEWEST
        n_whole += 1
        if text[place : place + 1] not in (",", ""):
            return False


def _past_blank(text: str, place: int) -> int:
    found = _BLANK.match(text, place)
    return found.end() if found else place
