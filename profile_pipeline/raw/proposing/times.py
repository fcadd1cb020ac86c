"""How times are written: the format of a column, told from its values.

Not here: which column is the time of an event, or converting it (`readers.typing`).
"""

import contextlib
import datetime as dt
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ISO = re.compile(
    r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?\s*(Z|z|[+-]\d{2}:?\d{2})?)?$", re.ASCII
)
TIME_OF_DAY = re.compile(r"^\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?$", re.ASCII)
NUMBER = re.compile(r"^\d{8,16}(\.\d+)?$", re.ASCII)
# Seconds, milliseconds and microseconds since 1970 that lie between 1973 and 2100.
_EPOCHS = (("s", 1e8, 4.2e9), ("ms", 1e11, 4.2e12), ("us", 1e14, 4.2e15))
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}
_DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%y", "%m/%d/%y", "%d.%m.%y",
    "%d-%b-%Y", "%d/%b/%Y", "%d %b %Y", "%b %d, %Y", "%b %d %Y", "%d %B %Y", "%B %d, %Y", "%d-%b-%y", "%Y年%m月%d日",
)  # fmt: skip
_CLOCKS = (
    "", " %H:%M:%S", " %H:%M", "T%H:%M:%S", " %H:%M:%S.%f", " %H", " %I:%M:%S %p", " %I:%M %p", ":%H:%M:%S %z", " %H:%M:%S %z", " %H:%M:%S UTC",
    " %H:%M:%S.%f UTC", " %H时%M分%S秒",
)  # fmt: skip
FORMATS = (
    *(date + clock for clock in _CLOCKS for date in _DATES),
    "%Y%m%d%H%M%S",
    "%a %b %d %H:%M:%S %z %Y",
    "%a, %d %b %Y %H:%M:%S %z",
)
MOST_BE_TIMES = 0.95


@dataclass(frozen=True)
class TimeFormat:
    """How a column writes times.

    Attributes
    ----------
    written
        A value of `time_format`: iso, s, ms, us or a format of strptime.
    is_zoned
        Its values say their offset, or count from 1970: no zone needs to be given.
    is_ambiguous
        Days and months could be swapped.
    """

    written: str
    is_zoned: bool
    is_ambiguous: bool = False

    @property
    def is_of_digits(self) -> bool:
        """Other numbers, such as ids, may read like it."""
        return self.written in (*PER_SECOND, "%Y%m%d", "%Y%m%d%H%M%S")


def time_format_of(values: Sequence[str]) -> TimeFormat | None:
    """Return how the values write times, or None where fewer than 95 % do.

    Examples
    --------
    >>> time_format_of(["31/12/2025 10:00", "01/02/2026 11:30"]).written
    '%d/%m/%Y %H:%M'
    """
    if not values:
        return None
    iso = [_iso(value) for value in values]
    if sum(found is not None for found in iso) >= MOST_BE_TIMES * len(values):
        return TimeFormat("iso", is_zoned=any(found is not None and found[1] is not None for found in iso))
    if (packed := _packed(values)) is not None:
        return packed
    numbers = [float(value) for value in values if NUMBER.match(value)]
    if len(numbers) >= MOST_BE_TIMES * len(values):
        for unit, low, high in _EPOCHS:
            if sum(low <= number <= high for number in numbers) >= MOST_BE_TIMES * len(values):
                return TimeFormat(unit, is_zoned=True)
        return None
    return _by_format(values)


def _iso(value: str) -> re.Match[str] | None:
    """The match of a time by ISO 8601 on a day that exists."""
    found = ISO.match(value)
    return found if found is not None and _reads(value[:10], "%Y-%m-%d") else None


def _packed(values: Sequence[str]) -> TimeFormat | None:
    """Dates of digits only: 20260131, or with the time of day 20260131235959."""
    for length, written in ((8, "%Y%m%d"), (14, "%Y%m%d%H%M%S")):
        if sum(len(value) == length and _reads(value, written) for value in values) >= MOST_BE_TIMES * len(values):
            return TimeFormat(written, is_zoned=False)
    return None


def _by_format(values: Sequence[str]) -> TimeFormat | None:
    tried = values[:5]
    if any(len(v) > 40 or sum(c.isdigit() for c in v) < 4 or v.replace(".", "", 1).isdigit() for v in tried):
        return None
    likely = [written for written in FORMATS if sum(_reads(value, written) for value in tried) >= 0.8 * len(tried)]
    fitting = [
        written for written in likely if sum(_reads(value, written) for value in values) >= MOST_BE_TIMES * len(values)
    ]
    if not fitting:
        return None
    best = max(fitting, key=lambda written: (sum(_reads(value, written) for value in values), -fitting.index(written)))
    n_best = sum(_reads(value, best) for value in values)
    rivals = [f for f in fitting if f != best and sum(_reads(v, f) for v in values) == n_best]
    return TimeFormat(
        best, is_zoned="%z" in best or best.endswith("UTC"), is_ambiguous=any(set(f) == set(best) for f in rivals)
    )


def moments(values: Iterable[str], written: str) -> list[dt.datetime]:
    """Return values as times to the minute, as they are written (since 1970: in UTC); those that are none are left out.

    Examples
    --------
    >>> moments(["1767600000000", "soon"], "ms")
    [datetime.datetime(2026, 1, 5, 8, 0)]
    """
    found = []
    for value in values:
        with contextlib.suppress(ValueError, OverflowError):
            found.append(_moment(value, written))
    return found


def _moment(value: str, written: str) -> dt.datetime:
    if written == "iso":
        return dt.datetime.fromisoformat(value[:16])
    if written in PER_SECOND:
        return dt.datetime(1970, 1, 1) + dt.timedelta(seconds=float(value) // PER_SECOND[written])
    return dt.datetime.strptime(value, written).replace(tzinfo=None)


def _reads(value: str, written: str) -> bool:
    try:
        return 1800 <= dt.datetime.strptime(value, written).year <= 2200
    except ValueError:
        return False
