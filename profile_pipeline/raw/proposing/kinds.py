"""What a column holds, told from its values: numbers, ids written as floats, times, flags, lists, addresses.

Not here: what a column means (`vocabulary`).
"""

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from profile_pipeline.raw.proposing.amounts import (
    CURRENCIES,
    DECIMAL,
    MOST,
    AmountStyle,
    currency_of,
    look_like_money,
    style_of,
)
from profile_pipeline.raw.proposing.times import (
    MOST_BE_TIMES,
    TIME_OF_DAY,
    TimeFormat,
    formats_of,
    moments,
    time_format_of,
)

LOOKED_AT = 2_000
MOMENTS_LOOKED_AT = 200
INTEGER = re.compile(r"^[+-]?\d{1,18}$", re.ASCII)
FLOAT_ID = re.compile(r"^\d+[.]0$", re.ASCII)
SCIENTIFIC_ID = re.compile(r"^\d([.]\d+)?[eE][+]?\d{1,2}$", re.ASCII)
# Google's id of a browser: a random number and the second of the first visit, in the cookie behind a version.
GOOGLE_CLIENT = re.compile(r"^(GA1[.]\d[.])?\d{1,10}[.][12]\d{9}$", re.ASCII)
EMAIL = re.compile(r"^[^@\s]+@[^@\s]+[.][A-Za-z]{2,}$")
ADDRESS = re.compile(r"^(https?://|www[.]|/)\S*$")
NETWORK = re.compile(r"^\d{1,3}(\.\d{1,3}){3}$|^[0-9a-fA-F:]{3,}:[0-9a-fA-F:]+$")
PERSON = re.compile("^[\u4e00-\u9fff]{2,4}$")
FLAGS = frozenset({"0", "1", "0.0", "1.0", "true", "false", "t", "f", "yes", "no", "y", "n"})
GENDERS = frozenset({"m", "f", "male", "female", "man", "woman", "男", "女", "u", "unknown", "other", "未知", "保密"})
# The hundred family names of most people in China.
SURNAMES = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤"
)
SEPARATORS = ("|", ";", ",", "/", "、")


@dataclass(frozen=True)
class ColumnKind:
    """A column of theirs and what its values are.

    Attributes
    ----------
    name
        Their name.
    reference
        How a mapping names it: the name, or an expression.
    values
        The values looked at, blanks left out.
    n_looked_at
        Records looked at, blanks included.
    is_list
        Its values are lists (JSON Lines, Parquet).
    least_times
        The share of the values that has to read as times for the column to be one of times.
    """

    name: str
    reference: str
    values: tuple[str, ...]
    n_looked_at: int
    is_list: bool = False
    least_times: float = MOST_BE_TIMES

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each value came."""
        return Counter(self.values)

    @property
    def n_distinct(self) -> int:
        return len(self.counts)

    @property
    def is_blank(self) -> bool:
        return not self.values

    @property
    def is_key(self) -> bool:
        """Nearly every record has a value of its own."""
        return len(self.values) >= 0.9 * self.n_looked_at and self.n_distinct >= 0.98 * len(self.values) > 0

    def _most(self, pattern: re.Pattern[str]) -> bool:
        return bool(self.values) and sum(bool(pattern.match(v)) for v in self.values) >= MOST * len(self.values)

    @cached_property
    def is_integer(self) -> bool:
        return self._most(INTEGER)

    @cached_property
    def is_number(self) -> bool:
        return self._most(DECIMAL)

    @cached_property
    def amounts(self) -> AmountStyle | None:
        """How its amounts are written, if it holds amounts."""
        return style_of(self.values)

    @cached_property
    def is_money(self) -> bool:
        """A number with a sign of currency, brackets, or marks between thousands."""
        return not self.is_number and self.amounts is not None and self.amounts.decimal != ","

    @cached_property
    def has_decimal_comma(self) -> bool:
        """Commas before the cents; before three digits everywhere they stand between thousands."""
        return not self.is_number and self.amounts is not None and self.amounts.decimal == ","

    @cached_property
    def looks_like_money(self) -> bool:
        """Two decimals or a sign of currency nearly everywhere, also where the amounts can't be read."""
        return self.time is None and look_like_money(self.values)

    @cached_property
    def has_float_ids(self) -> bool:
        """Whole numbers, some or all of them written `17850.0`."""
        return any(FLOAT_ID.match(v) for v in self.values) and all(
            FLOAT_ID.match(v) or INTEGER.match(v) for v in self.values
        )

    @cached_property
    def has_scientific_ids(self) -> bool:
        """Whole numbers, some or all of them written `8.58e+15`."""
        return any(SCIENTIFIC_ID.match(v) for v in self.values) and all(
            SCIENTIFIC_ID.match(v) or FLOAT_ID.match(v) or INTEGER.match(v) for v in self.values
        )

    @cached_property
    def is_google_client(self) -> bool:
        return self._most(GOOGLE_CLIENT)

    @cached_property
    def currency(self) -> str | None:
        """The one currency that signs beside the numbers name."""
        return currency_of(self.counts)

    @cached_property
    def time(self) -> TimeFormat | None:
        whole = time_format_of(self.values)
        if whole is not None or self.least_times >= MOST_BE_TIMES:
            return whole
        most = next(iter(formats_of(self.values)), None)
        return most[0] if most is not None and most[1] >= self.least_times * len(self.values) else None

    def with_least_times(self, share: float) -> "ColumnKind":
        """Return the same column, of times also where only this share of its values reads as such: its name says so."""
        return replace(self, least_times=share)

    @cached_property
    def _moments(self) -> list[dt.datetime]:
        step = max(1, len(self.values) // MOMENTS_LOOKED_AT)
        return moments(self.values[::step], self.time.written) if self.time is not None else []

    @property
    def is_after_2000(self) -> bool:
        return bool(self._moments) and sum(m.year >= 2000 for m in self._moments) >= MOST * len(self._moments)

    @property
    def has_clock(self) -> bool:
        """Times of day, and not days only; numbers that differ in every record are ids rather."""
        is_id = self.time is not None and self.time.is_of_digits and self.is_key
        return self.is_time_of_day or (not is_id and any(m.time() != dt.time.min for m in self._moments))

    @property
    def is_of_births(self) -> bool:
        """Days over ten years and more, half of them and more before 2010."""
        years = sorted(m.year for m in self._moments)
        return bool(years) and not self.has_clock and years[-1] - years[0] >= 10 and years[len(years) // 2] < 2010

    @cached_property
    def is_time_of_day(self) -> bool:
        return self._most(TIME_OF_DAY)

    @cached_property
    def is_flag(self) -> bool:
        return 0 < self.n_distinct <= 3 and all(v.lower() in FLAGS for v in self.counts)

    @cached_property
    def is_email(self) -> bool:
        return self._most(EMAIL)

    @cached_property
    def is_masked(self) -> bool:
        """Parts of its values are starred out, so that different ones look the same."""
        return any("**" in v for v in self.values)

    @cached_property
    def is_address(self) -> bool:
        return self._most(ADDRESS)

    @cached_property
    def is_network_address(self) -> bool:
        return self._most(NETWORK)

    @cached_property
    def is_gender(self) -> bool:
        return 2 <= self.n_distinct <= 6 and all(v.lower() in GENDERS for v in self.counts)

    @cached_property
    def is_name_of_person(self) -> bool:
        """Two to four Chinese signs, the first mostly a family name."""
        fitting = sum(bool(PERSON.match(v)) and v[0] in SURNAMES for v in self.values)
        return bool(self.values) and fitting >= 0.7 * len(self.values)

    @cached_property
    def is_currency_code(self) -> bool:
        return bool(self.counts) and all(v.upper() in CURRENCIES | {"RMB"} for v in self.counts)

    @cached_property
    def separator(self) -> str | None:
        """What separates the parts of a list written as text: parts come again and again, whole texts less often."""
        for mark in SEPARATORS:
            several = sum(mark in v for v in self.values)
            if several >= 0.2 * len(self.values) and several >= 2:
                parts = Counter(part.strip() for v in self.values for part in v.split(mark))
                longest = max(len(part) for part in parts)
                if longest <= 40 and len(parts) < max(self.n_distinct, 30) and not self.is_number:
                    return mark
        return None


def is_of_people(kinds: Iterable[ColumnKind]) -> bool:
    """Say whether columns are of people, a row each: genders, an id that does not come again, and no time of day.

    Digits that read as times are an id only where they stand first.
    """
    columns = list(kinds)
    has_gender = any(k.is_gender and not k.is_flag for k in columns)
    ids = [k for k in columns if k.is_key and (k.is_integer or not k.is_number)]
    return (
        has_gender
        and any(k.time is None or (k.time.is_of_digits and k is columns[0]) for k in ids)
        and not any(k.has_clock for k in columns)
    )


def kinds_of(
    columns: Mapping[str, Sequence[str | None]], references: Mapping[str, str], lists: frozenset[str] = frozenset()
) -> list[ColumnKind]:
    """Return the kind of each column, from at most 2,000 records spread evenly over it."""
    found = []
    for name, values in columns.items():
        step = max(1, len(values) // LOOKED_AT)
        looked_at = values[::step]
        kept = tuple(v.strip() for v in looked_at if v is not None and v.strip())
        found.append(ColumnKind(name, references[name], kept, len(looked_at), name in lists))
    return found
