"""How messages word a number of things: one file, two files.

Not here: what is counted, or any message.
"""


def counted(n: int, one: str, many: str | None = None) -> str:
    """Return a number with what is counted, such as `1 file` or `1,024 files`.

    Parameters
    ----------
    one
        What one is called, with the verb where there is one: `file was`.
    many
        What several are called; else `one` with an s.
    """
    return f"{n:,} {one if n == 1 else many or f'{one}s'}"
