"""The base of errors that a person can mend: the command line prints their text and no stack.

Each such error lives with the code that raises it. Not here: any of them.
"""


class ExpectedError(Exception):
    """Something outside of the code is wrong; the text says what was found, what is expected and what to do."""
