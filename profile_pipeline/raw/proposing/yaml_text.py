"""Sources as the text of `profile.yaml`: one written anew, or put among others without touching a byte of them.

Not here: what a source says (`propose`), or the rest of a new file (`starter`).
"""

import re
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from profile_pipeline.errors import ExpectedError

WIDTH = 130
_BLOCKS = ("columns",)


class InsertError(ExpectedError):
    """A source can't be put into a file; the text says why and what to do."""


def scalar(value: Any) -> str:
    """Return a value as YAML on one line, fit to stand within braces.

    Examples
    --------
    >>> print(scalar({"event_type": "'order'", "flags": ["a", "b"]}))
    {event_type: "'order'", flags: [a, b]}
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {scalar(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(scalar, value)) + "]"
    if isinstance(value, str) and not value.isprintable():
        return _one_line(value, '"', allow_unicode=False)
    text = _one_line(value, None)
    is_hard_to_read = text.startswith("'") and "''" in text
    return _one_line(value, '"') if isinstance(value, str) and is_hard_to_read else text


def _one_line(value: Any, style: str | None, *, allow_unicode: bool = True) -> str:
    text = yaml.safe_dump(
        [value], default_flow_style=True, default_style=style, allow_unicode=allow_unicode, width=10**9
    )
    return str(text).strip()[1:-1]


def source_text(name: str, settings: Mapping[str, Any], notes: Iterable[str]) -> str:
    """Return a source as a block, from the first column on, its notes as comments above."""
    # A note may tell names from a file: what ends a line would end the comment.
    told = ("".join(c if c.isprintable() else " " for c in note) for note in notes)
    lines = [f"# {line}" for note in told for line in textwrap.wrap(note, WIDTH - 10)]
    lines.append(f"{scalar(name)}:")
    for setting, value in settings.items():
        if setting in _BLOCKS or (isinstance(value, dict) and len(scalar(value)) > WIDTH):
            lines.append(f"  {setting}:")
            lines += [f"    {scalar(key)}: {_wrapped(part, 6)}" for key, part in value.items()]
        else:
            lines.append(f"  {setting}: {_wrapped(value, 4)}")
    return "\n".join(lines) + "\n"


def _wrapped(value: Any, indent: int) -> str:
    """A value on one line, or a long list or mapping broken between its parts."""
    text = scalar(value)
    if len(text) <= WIDTH or not isinstance(value, list | dict):
        return text
    parts = (
        [scalar(part) for part in value]
        if isinstance(value, list)
        else [f"{scalar(key)}: {scalar(part)}" for key, part in value.items()]
    )
    lines, line = [], ""
    for part in parts:
        if line and len(line) + len(part) > WIDTH - indent:
            lines.append(line)
            line = ""
        line += part + ", "
    lines.append(line)
    opening, closing = ("[", "]") if isinstance(value, list) else ("{", "}")
    body = ("\n" + " " * indent).join(part.rstrip() for part in lines).rstrip(",")
    return opening + body + closing


def insert_sources(text: str, blocks: Mapping[str, str]) -> str:
    """Put sources behind the last one of a file; everything else stays as it is, byte for byte.

    Parameters
    ----------
    blocks
        Name -> text of the source as `source_text` gives it.

    Raises
    ------
    InsertError
        If the file has no `sources:` in lines of their own, or a source of that name.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    entries = {key.value: (key, value) for key, value in root.value} if isinstance(root, yaml.MappingNode) else {}
    if "sources" not in entries:
        start = text + ("" if not text or text.endswith(("\n", "\r")) else newline)
        return start + newline.join(["", "sources:", *_indented(blocks, 2), ""])
    key, sources = entries["sources"]
    if isinstance(sources, yaml.ScalarNode) and not sources.value:
        return _with_lines(text, key.end_mark.line + 1, _indented(blocks, 2), newline)
    if not isinstance(sources, yaml.MappingNode) or sources.flow_style:
        raise InsertError(
            "sources: is written in braces, expected one source a line below it. Put the text above in by hand"
        )
    taken = sorted({name.value for name, _ in sources.value} & blocks.keys())
    if taken:
        raise InsertError(f"there is a source called {', '.join(taken)} already. Choose another name with --name")
    indent = sources.value[0][0].start_mark.column
    return _with_lines(text, _last_line(sources) + 1, _indented(blocks, indent), newline)


def _indented(blocks: Mapping[str, str], indent: int) -> list[str]:
    return [" " * indent + line if line else line for block in blocks.values() for line in block.splitlines()]


def _with_lines(text: str, place: int, lines: list[str], newline: str) -> str:
    """Put lines before the line of that number, counted from 0."""
    found = re.split(r"(?<=\n)", text)
    before = "".join(found[:place])
    after = "".join(found[place:])
    if before and not before.endswith("\n"):
        before += newline
    return before + newline.join(lines) + newline + after


def _last_line(node: yaml.Node) -> int:
    """The line on which the last part of a node ends, comments behind it left out."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        key, value = node.value[-1]
        return max(_last_line(key), _last_line(value))
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _last_line(node.value[-1])
    mark = node.end_mark
    # The text of a block scalar ends where the next line begins.
    is_behind = mark.column == 0 and mark.line > node.start_mark.line
    return int(mark.line - 1 if is_behind else mark.line)
