"""Paths and names as words of the commands that messages name: what is pasted into a shell is one word, whatever it holds.

Not here: printing (`commands.terminal`), or any command.
"""

import os
import shlex
from pathlib import Path


def word(text: str | os.PathLike[str]) -> str:
    r"""Return a path or a name as a shell takes it: one word, on one line, and all of it printable.

    Examples
    --------
    >>> from pathlib import Path
    >>> word("data/a.csv"), word("a;touch b.csv"), word(Path("-a.csv"))
    ('data/a.csv', "'a;touch b.csv'", './-a.csv')
    >>> print(word("a\x1b\udcff'.csv"))
    $'a\x1b\xff\'.csv'
    """
    told = os.fspath(text)
    if isinstance(text, os.PathLike) and told.startswith("-"):
        # It would be read as an option.
        told = f"./{told}"
    if all(c.isprintable() for c in told):
        return shlex.quote(told)
    return "$'" + "".join(map(_escaped, told)) + "'"


def jq_command(what: str, file: Path) -> str:
    """Return the command that writes what `jq` finds in a file as JSON Lines beside it.

    Examples
    --------
    >>> jq_command(".data[]", Path("in/page 1.json"))
    "jq -c '.data[]' 'in/page 1.json' > 'in/page 1.json.jsonl'"
    """
    return f"jq -c {word(what)} {word(file)} > {word(file.with_name(f'{file.name}.jsonl'))}"


def _escaped(c: str) -> str:
    if c in "\\'":
        return f"\\{c}"
    return c if c.isprintable() else "".join(f"\\x{byte:02x}" for byte in os.fsencode(c))
