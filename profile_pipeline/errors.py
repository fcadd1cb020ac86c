"""The base of errors that a person can mend: the command line prints their text and no stack.

Each such error lives with the code that raises it. Not here: any of them.
"""


class ExpectedError(Exception):
    """Something outside of the code is wrong; the text says what was found, what is expected and what to do."""


class ConfigurationError(ExpectedError):
    """The configuration is wrong; the text names file, line, what was found and what to do."""


def did_you_mean(names: list[str]) -> str:
    """Return the nearest names as the end of a message, or nothing."""
    return f"; did you mean {' or '.join(names)}?" if names else ""
