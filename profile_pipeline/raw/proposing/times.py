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
TIME_OF_DAY = re.compile(r"^\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?$", re.ASCII)
# No clock tells more than nanoseconds: ten digits behind the point are the second half of an id, as in Google's.
NUMBER = re.compile(r"^\d{8,16}(\.\d{1,9})?$", re.ASCII)
# Seconds, milliseconds and microseconds since 1970 that lie between 1973 and 2100.
_EPOCHS = (("s", 1e8, 4.2e9), ("ms", 1e11, 4.2e12), ("us", 1e14, 4.2e15))
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}
# Of a column that holds several units only years in which events are likely count: other numbers lie in two ranges as easily.
_LIKELY_SECONDS = (946_684_800, 2_208_988_800)
# Seconds to the year 2262: later times are refused.
_LATEST = 9.2e9
_PLAIN_NUMBER = re.compile(r"^\d+(\.\d+)?$", re.ASCII)
_RUNS = re.compile(r"(?P<digits>\d+)|[^\W\d_]+")
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
# Of text that is no time each value may be written in a way of its own, and each way costs a trial of every format.
MOST_WAYS = 8


@dataclass(frozen=True)
class TimeFormat:
    """How a column writes times.

    Attributes
    ----------
    written
        A value of `time_format`: iso, s, ms, us, epoch or a format of strptime.
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
        return self.written in (*PER_SECOND, "epoch", "%Y%m%d", "%Y%m%d%H%M%S")


def time_format_of(values: Sequence[str]) -> TimeFormat | None:
    """Return how the values write times, or None where fewer than 95 % do.

    Examples
    --------
    >>> time_format_of(["31/12/2025 10:00", "01/02/2026 11:30"]).written
    '%d/%m/%Y %H:%M'
    """
    if not values:
        return None
    iso = [found for value in values if (found := _iso(value)) is not None]
    if len(iso) >= MOST_BE_TIMES * len(values):
        rival = _by_format(values) if len(iso) < len(values) else None
        # 2026-01-31 8:04 is not ISO, and the same file may hold few hours before ten.
        if rival is not None and n_reading(values, rival.written) > len(iso):
            return rival
        return TimeFormat("iso", is_zoned=any(found[1] is not None for found in iso))
    if (packed := _packed(values)) is not None:
        return packed
    numbers = [float(value) for value in values if NUMBER.match(value)]
    if len(numbers) >= MOST_BE_TIMES * len(values):
        return _epoch_of(numbers, len(values))
    return _by_format(values)


def _epoch_of(numbers: Sequence[float], n_values: int) -> TimeFormat | None:
    """The unit of numbers since 1970, told by their size; `epoch` where there are several."""
    units = {_unit_if_likely(number) for number in numbers} - {None}
    if len(units) > 1 and sum(_unit_if_likely(number) is not None for number in numbers) >= MOST_BE_TIMES * n_values:
        return TimeFormat("epoch", is_zoned=True)
    for unit, low, high in _EPOCHS:
        if sum(low <= number <= high for number in numbers) >= MOST_BE_TIMES * n_values:
            return TimeFormat(unit, is_zoned=True)
    return None


def _unit_if_likely(number: float) -> str | None:
    low, high = _LIKELY_SECONDS
    return next((unit for unit, scale in PER_SECOND.items() if low * scale <= number < high * scale), None)


def formats_of(values: Sequence[str]) -> list[tuple[TimeFormat, int]]:
    """Return the ways in which values of a column write times, each with how many are written so, the most first.

    Examples
    --------
    >>> [(found.written, n) for found, n in formats_of(["2026-01-31", "N/A", "2026-02-01", "31/01/2026"])]
    [('iso', 2), ('%d/%m/%Y', 1)]
    """
    alike: dict[str, list[str]] = {}
    for value in values:
        alike.setdefault(_RUNS.sub(lambda run: "9" if run["digits"] else "a", value), []).append(value)
    found: dict[str, tuple[TimeFormat, int]] = {}
    for group in sorted(alike.values(), key=len, reverse=True)[:MOST_WAYS]:
        written = time_format_of(group)
        if written is not None:
            n = n_reading(group, written.written) + (found[written.written][1] if written.written in found else 0)
            found[written.written] = (written, n)
    return sorted(found.values(), key=lambda one: -one[1])


def n_reading(values: Iterable[str], written: str) -> int:
    """Return how many values are times as a format says."""
    return sum(reads_as(value, written) for value in values)


def reads_as(value: str, written: str) -> bool:
    """Say whether a load takes a value for a time by a `time_format`."""
    if written == "iso":
        return _iso(value) is not None
    if written in (*PER_SECOND, "epoch"):
        return _PLAIN_NUMBER.match(value) is not None and (
            float(value) >= _EPOCHS[0][1] if written == "epoch" else float(value) < _LATEST * PER_SECOND[written]
        )
    return _reads(value, written)


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
    if written == "epoch":
        written = _unit_if_likely(float(value)) or "s"
    if written in PER_SECOND:
        return dt.datetime(1970, 1, 1) + dt.timedelta(seconds=float(value) // PER_SECOND[written])
    return dt.datetime.strptime(value, written).replace(tzinfo=None)


def _reads(value: str, written: str) -> bool:
    try:
        return 1800 <= dt.datetime.strptime(value, written).year <= 2200
    except ValueError:
        return False
