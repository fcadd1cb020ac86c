"""From text to types: each column of a batch converted at once, and a reason for every value that can't be.

Not here: where the text comes from. A value is converted exactly or its record is rejected; nothing is guessed.
"""

import datetime as dt
import re
import zoneinfo
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SMALL = 64
EARLIEST, LATEST = dt.datetime(1678, 1, 1), dt.datetime(2262, 1, 1)
TRUE_WORDS, FALSE_WORDS = frozenset({"true", "t", "yes", "y", "1"}), frozenset({"false", "f", "no", "n", "0"})
# Microseconds of one unit; `epoch` tells the unit by its size: from 1973 to 5138 the four do not meet.
_SCALES = {"s": Decimal(1_000_000), "ms": Decimal(1_000), "us": Decimal(1), "ns": Decimal("0.001")}
_SMALLEST_EPOCH, _EPOCH_STEP = Decimal(10) ** 8, 1_000
_ZONED = r"(Z|z|[+-]\d{2}:?\d{2})$"
_SECOND_ENDS, _LONGEST_ISO = len("2026-01-31T23:59:59"), len("2026-01-31T23:59:59.999999")
_PLAIN_NUMBER = r"^[+-]?[0-9]{1,14}(\.[0-9]{1,10})?$"
_ISO = re.compile(
    r"^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?\s*(Z|z|[+-]\d{2}:?\d{2})?$",
    re.ASCII,
)


@dataclass(frozen=True)
class Converted:
    """Values, and the rows (positions) of those that could not be converted."""

    values: pa.Array
    bad_rows: list[int]


def _by_halves(
    array: pa.Array,
    whole: Callable[[pa.Array], pa.Array],
    one: Callable[[str], Any],
    kind: pa.DataType,
    are_plain: Callable[[pa.Array], pa.Array] | None = None,
    offset: int = 0,
) -> Converted:
    """Convert all at once; where that fails, the plain ones at once and the rest one by one; where that fails, halves."""
    try:
        return Converted(whole(array).cast(kind), [])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if len(array) > SMALL:
            if (
                are_plain is not None
                and (parted := _plain_apart(array, whole, one, kind, are_plain, offset)) is not None
            ):
                return parted
            middle = len(array) // 2
            left = _by_halves(array.slice(0, middle), whole, one, kind, are_plain, offset)
            right = _by_halves(array.slice(middle), whole, one, kind, are_plain, offset + middle)
            return Converted(pa.concat_arrays([left.values, right.values]), left.bad_rows + right.bad_rows)
    return _one_by_one(array, one, kind, range(offset, offset + len(array)))


def _plain_apart(
    array: pa.Array,
    whole: Callable[[pa.Array], pa.Array],
    one: Callable[[str], Any],
    kind: pa.DataType,
    are_plain: Callable[[pa.Array], pa.Array],
    offset: int,
) -> Converted | None:
    """Convert plain values at once and the others one by one; None where too few are plain, or one of them is none after all."""
    is_other = pc.invert(pc.fill_null(are_plain(array), True))
    places = pc.indices_nonzero(is_other)
    if len(places) * 8 > len(array):
        return None
    try:
        values = whole(pc.if_else(is_other, pa.scalar(None, array.type), array)).cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    others = _one_by_one(array.take(places), one, kind, (places.to_numpy() + offset).tolist())
    return Converted(pc.replace_with_mask(values, is_other, others.values), others.bad_rows)


def _one_by_one(array: pa.Array, one: Callable[[str], Any], kind: pa.DataType, places: Sequence[int]) -> Converted:
    values, bad = [], []
    for place, text in zip(places, array.to_pylist(), strict=True):
        try:
            values.append(None if text is None else one(text))
        except (ValueError, ArithmeticError):
            values.append(None)
            bad.append(place)
    return Converted(pa.array(values, kind), bad)


def _bytes_of(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return where each value of a text column begins and the last ends, and the bytes that these are places in; nothing is copied."""
    _, offsets, data = array.buffers()
    if data is None or len(array) == 0:
        return np.zeros(len(array) + 1, np.int32), np.empty(0, np.uint8)
    return np.frombuffer(offsets, np.int32, count=len(array) + 1, offset=4 * array.offset), np.frombuffer(
        data, np.uint8
    )


def _may_need_trimming(ends: np.ndarray, data: np.ndarray, is_filled: np.ndarray) -> bool:
    """Say whether a value begins or ends with what may be white space: ASCII white space, or the byte of a longer character."""
    edges = np.concatenate([data[ends[:-1][is_filled]], data[ends[1:][is_filled] - 1]])
    return bool(((edges <= ord(" ")) | (edges >= 0x7F)).any())


def blanks_to_null(array: pa.Array) -> pa.Array:
    """Trim white space; what is empty then is null."""
    ends, data = _bytes_of(array)
    is_filled = ends[1:] > ends[:-1]
    if is_filled.any() and _may_need_trimming(ends, data, is_filled):
        array = pc.utf8_trim_whitespace(array)
        ends, data = _bytes_of(array)
        is_filled = ends[1:] > ends[:-1]
    if is_filled.all():
        return array
    if array.null_count:
        is_filled &= array.is_valid().to_numpy(zero_copy_only=False)
    # The same bytes with other nulls: no value is copied.
    validity = pa.py_buffer(np.packbits(is_filled, bitorder="little"))
    _, offsets, values = array.buffers()
    return pa.StringArray.from_buffers(len(array), offsets.slice(4 * array.offset), values, validity)


def to_text(array: pa.Array) -> Converted:
    """Text as it is; control characters are not text."""
    ends, data = _bytes_of(array)
    seen = data[ends[0] : ends[-1]]
    if not ((seen < 0x20) & ((seen < 0x09) | (seen > 0x0D)) | (seen == 0x7F)).any():
        return Converted(array, [])
    bad = pc.fill_null(pc.match_substring_regex(array, r"[\x00-\x08\x0e-\x1f\x7f]"), False)
    return Converted(pc.if_else(bad, pa.scalar(None, pa.string()), array), pc.indices_nonzero(bad).to_pylist())


def to_decimal(array: pa.Array) -> Converted:
    """DECIMAL(18,4), rounded half up; each number is converted once, however often it stands there."""
    encoded = array.dictionary_encode()
    if 2 * len(encoded.dictionary) < len(array):
        once = _to_decimal(encoded.dictionary)
        if not once.bad_rows:
            return Converted(once.values.take(encoded.indices), [])
    return _to_decimal(array)


def _to_decimal(array: pa.Array) -> Converted:
    kind = pa.decimal128(18, 4)

    def whole(part: pa.Array) -> pa.Array:
        if not pc.all(pc.fill_null(pc.match_substring_regex(part, _PLAIN_NUMBER), True)).as_py():
            raise pa.ArrowInvalid("not plain")
        return pc.round(part.cast(pa.decimal128(38, 10)), ndigits=4, round_mode="half_towards_infinity")

    def one(text: str) -> Decimal:
        if not text.isascii() or "_" in text:
            raise ValueError(text)
        number = Decimal(text)
        if not number.is_finite() or abs(number) >= Decimal(10) ** 14:
            raise ValueError(text)
        return number.quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP)

    return _by_halves(array, whole, one, kind, lambda part: pc.match_substring_regex(part, _PLAIN_NUMBER))


def to_integer(array: pa.Array, kind: pa.DataType) -> Converted:
    """Whole numbers; `1990.0` is one, `1990.5` is not."""

    def whole(part: pa.Array) -> pa.Array:
        return part.cast(pa.int64())

    def one(text: str) -> int:
        number = Decimal(text)
        if (
            not text.isascii()
            or "_" in text
            or number != number.to_integral_value()
            or abs(number) >= 2 ** (kind.bit_width - 1)
        ):
            raise ValueError(text)
        return int(number)

    return _by_halves(array, whole, one, kind)


def to_double(array: pa.Array) -> Converted:
    """Degrees of latitude and longitude: finite numbers."""

    def one(text: str) -> float:
        number = Decimal(text)
        if not number.is_finite():
            raise ValueError(text)
        return float(number)

    def whole(part: pa.Array) -> pa.Array:
        values = part.cast(pa.float64())
        if not pc.all(pc.fill_null(pc.is_finite(values), True)).as_py():
            raise pa.ArrowInvalid("not finite")
        return values

    return _by_halves(array, whole, one, pa.float64())


def to_boolean(array: pa.Array) -> Converted:
    """True and false by their usual words."""

    def one(text: str) -> bool:
        word = text.lower()
        if word not in TRUE_WORDS | FALSE_WORDS:
            raise ValueError(text)
        return word in TRUE_WORDS

    values, bad = [], []
    for row, text in enumerate(array.to_pylist()):
        try:
            values.append(None if text is None else one(text))
        except ValueError:
            values.append(None)
            bad.append(row)
    return Converted(pa.array(values, pa.bool_()), bad)


def to_timestamp(array: pa.Array, *, time_format: str, timezone: str) -> Converted:
    """Times as naive UTC, to the microsecond.

    A naive time is of `timezone`: in the hour that is skipped in spring it does not exist and is rejected, in the hour that
    comes twice in autumn it is the first of the two.
    """
    kind = pa.timestamp("us")
    zone = zoneinfo.ZoneInfo(timezone)
    scale = _SCALES.get(time_format)

    def whole(part: pa.Array) -> pa.Array:
        if (
            scale is not None
            and scale >= 1
            and pc.all(pc.fill_null(pc.match_substring_regex(part, r"^-?[0-9]{1,12}$"), True)).as_py()
        ):
            values = pc.multiply_checked(part.cast(pa.int64()), int(scale)).cast(kind)
        elif time_format != "iso":
            raise pa.ArrowInvalid("one by one")
        elif (
            pc.all(pc.ends_with(part, "Z")).as_py() is not False
            or pc.all(pc.fill_null(pc.match_substring_regex(part, _ZONED), True)).as_py()
        ):
            values = part.cast(pa.timestamp("us", "UTC")).cast(kind)
        elif pc.any(pc.fill_null(pc.match_substring_regex(part, _ZONED), False)).as_py():
            raise pa.ArrowInvalid("mixed")
        else:
            values = part.cast(kind)
            if timezone != "UTC":
                values = (
                    pc.assume_timezone(values, timezone, ambiguous="earliest", nonexistent="raise")
                    .cast(pa.timestamp("us", "UTC"))
                    .cast(kind)
                )
        if pc.any(pc.fill_null(pc.or_(pc.less(values, EARLIEST), pc.greater(values, LATEST)), False)).as_py():
            raise pa.ArrowInvalid("out of range")
        return values

    def one(text: str) -> dt.datetime:
        if scale is not None or time_format == "epoch":
            value = _epoch(text, scale)
        elif time_format == "iso":
            value = _iso(text, zone)
        else:
            parsed = dt.datetime.strptime(text, time_format)
            value = parsed.astimezone(dt.UTC).replace(tzinfo=None) if parsed.tzinfo else _localized(parsed, zone)
        if not EARLIEST <= value <= LATEST:
            raise ValueError(text)
        return value

    return _by_halves(array, whole, one, kind, _are_plain_times if time_format == "iso" else None)


def _are_plain_times(array: pa.Array) -> pa.Array:
    """Say of each value whether it is `2026-01-31T23:59:59` with or without a fraction, ending in Z if any value does.

    The engine is sure to take these at once, but for days that a month does not have.
    """
    end = "Z" if pc.any(pc.ends_with(array, "Z")).as_py() else ""
    ends, data = _bytes_of(array)
    starts, lengths = ends[:-1], ends[1:] - ends[:-1]
    are_plain = array.is_null().to_numpy(zero_copy_only=False)
    for length in np.unique(lengths):
        digits = int(length) - len(end)
        if digits == _SECOND_ENDS or _SECOND_ENDS + 1 < digits <= _LONGEST_ISO:
            rows = np.flatnonzero(lengths == length)
            are_plain[rows] = _are_times(np.lib.stride_tricks.sliding_window_view(data, length)[starts[rows]], end)
    return pa.array(are_plain)


def _are_times(texts: np.ndarray, end: str) -> np.ndarray:
    """Say of texts of one length, a row of bytes each, whether they are times."""
    form = f"{'dddd-dd-ddtdd:dd:dd.dddddd'[: texts.shape[1] - len(end)]}{end}"
    # What is less than 0 becomes large.
    numbers = texts - ord("0")
    good: np.ndarray = (texts[:, 10] == ord("T")) | (texts[:, 10] == ord(" "))
    for place, kind in enumerate(form):
        if kind != "t":
            good &= numbers[:, place] <= 9 if kind == "d" else texts[:, place] == ord(kind)
    for place, least, most in ((5, 1, 12), (8, 1, 31), (11, 0, 23), (14, 0, 59), (17, 0, 59)):
        value = numbers[:, place] * np.uint8(10) + numbers[:, place + 1]
        good &= (value >= least) & (value <= most)
    return good


def _epoch(text: str, scale: Decimal | None) -> dt.datetime:
    number = Decimal(text)
    if not text.isascii() or not number.is_finite() or abs(number) > Decimal(10) ** 20:
        raise ValueError(text)
    scale = _scale_of(number) if scale is None else scale
    return dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=int((number * scale).to_integral_value(ROUND_HALF_UP)))


def _scale_of(number: Decimal) -> Decimal:
    """Tell the unit of an epoch by its size."""
    for place, scale in enumerate(_SCALES.values()):
        smallest = _SMALLEST_EPOCH * _EPOCH_STEP**place
        if smallest <= number < smallest * _EPOCH_STEP:
            return scale
    raise ValueError(f"{number} is no time in seconds, milliseconds, microseconds or nanoseconds")


def _iso(text: str, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    found = _ISO.match(text)
    if found is None:
        raise ValueError(text)
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    microsecond = int((found[7] or "").ljust(6, "0")[:6] or 0)
    naive = dt.datetime(year, month, day, hour, minute, second, microsecond)
    if found[8] is None:
        return _localized(naive, zone)
    if found[8] in "Zz":
        return naive
    digits = found[8][1:].replace(":", "")
    if int(digits[:2]) > 23 or int(digits[2:]) > 59:
        raise ValueError(text)
    offset = dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return naive - offset if found[8][0] == "+" else naive + offset


def _localized(naive: dt.datetime, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    utc = naive.replace(tzinfo=zone, fold=0).astimezone(dt.UTC)
    if utc.astimezone(zone).replace(tzinfo=None) != naive:
        raise ValueError(f"{naive} does not exist in {zone.key}")
    return utc.replace(tzinfo=None)


def to_date(array: pa.Array) -> Converted:
    """Calendar dates, ISO."""

    def one(text: str) -> dt.date:
        return dt.date.fromisoformat(text[:10]) if _ISO.match(text) else _refuse(text)

    return _by_halves(array, lambda part: part.cast(pa.date32()), one, pa.date32())


def _refuse(text: str) -> dt.date:
    raise ValueError(text)
