"""What a user may set of one kind of file: where it lands, how it is written, which of its columns are ours.

Not here: the other sections of `profile.yaml` (`settings`), or reading a file.
"""

import datetime as dt
import difflib
import re
import zoneinfo
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from profile_pipeline.errors import did_you_mean
from profile_pipeline.raw.roles import ROLES
from profile_pipeline.raw.tables import RECORD_TABLES

TIME_FORMATS = ("iso", "s", "ms", "us", "ns", "epoch")
KEY_COLUMNS: dict[str, tuple[str, ...]] = {
    "events": ("event_time", "event_type"),
    "users": ("user_id",),
    "items": ("item_id",),
    "relations": ("user_id", "other_user_id"),
    "contacts": ("campaign", "user_id"),
}
GIVEN_BY_LOADING = frozenset({"file_id", "row_number", "source", "event_hash", "role", "event_date", "loaded_at"})


class Section(BaseModel):
    """A section of the file: an unknown name in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def known_zone(value: str) -> str:
    """Refuse what is no time zone."""
    if value not in zoneinfo.available_timezones():
        near = difflib.get_close_matches(value, sorted(zoneinfo.available_timezones()), n=3)
        raise ValueError(
            f"found {value!r}, expected a name of the tz database such as Asia/Shanghai" + did_you_mean(near)
        )
    return value


class ListSettings(Section):
    """A list made of flag columns, or of one column that is split."""

    flags: tuple[str, ...] | None = None
    split: str | None = None
    on: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.flags is None) == (self.split is None) or (self.split is None) != (self.on is None):
            raise ValueError("expected either `flags: [column, …]` or `split: column` with `on: separator`")
        return self


class SourceSettings(Section):
    """One kind of file: where it lands, how it is written, and which of its columns are ours."""

    table: Literal["events", "users", "items", "relations", "contacts"]
    path: str = Field(min_length=1)
    format: Literal["csv", "tsv", "lines", "jsonl", "parquet"]
    pattern: str | None = None
    delimiter: str | None = Field(default=None, min_length=1)
    header: bool | tuple[str, ...] = True
    # False: a quote is a character like any other.
    has_quotes: bool = True
    encoding: str = "utf-8"
    timezone: str = "UTC"
    time_format: str = "iso"
    identical_records: Literal["one", "each"] = "one"
    full_records: bool = False
    columns: dict[str, str | ListSettings]
    attributes: tuple[str, ...] | dict[str, str] | Literal["all"] = ()
    roles: dict[str, str] = Field(default_factory=dict)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return known_zone(value)

    @field_validator("time_format")
    @classmethod
    def _known_time_format(cls, value: str) -> str:
        if value not in TIME_FORMATS:
            moment = dt.datetime(2001, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
            try:
                is_format = "%" in value and dt.datetime.strptime(moment.strftime(value), value) is not None
            except ValueError:
                is_format = False
            if not is_format:
                near = difflib.get_close_matches(value.removeprefix("epoch_"), TIME_FORMATS, n=1)
                raise ValueError(
                    f"found {value!r}, expected iso, s, ms, us or ns (since 1970), epoch (any of these), or a format such as '%d/%m/%Y %H:%M'"
                    + did_you_mean(near)
                )
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            "".encode(value)
        except LookupError:
            raise ValueError(
                f"found {value!r}, expected an encoding that Python knows, such as utf-8 or gb18030"
            ) from None
        return value

    @property
    def mapped(self) -> dict[str, str | ListSettings]:
        """What is read of a record: our columns, and attributes by name as `attributes.<name>`, with theirs or an expression."""
        if self.attributes == "all":
            return self.columns
        named = self.attributes if isinstance(self.attributes, dict) else {name: name for name in self.attributes}
        return self.columns | {f"attributes.{name}": theirs for name, theirs in named.items()}

    @field_validator("roles")
    @classmethod
    def _known_roles(cls, value: dict[str, str]) -> dict[str, str]:
        wrong = sorted({role for role in value.values() if role not in ROLES})
        if wrong:
            raise ValueError(f"found the roles {', '.join(wrong)}, expected some of {', '.join(ROLES)}")
        return value

    @model_validator(mode="after")
    def _columns_are_ours(self) -> Self:
        faults = []
        ours = [c for c in RECORD_TABLES[self.table].column_names if c not in GIVEN_BY_LOADING]
        for name in self.columns:
            if name not in ours:
                near = difflib.get_close_matches(name, ours, n=3)
                faults.append(f"columns: found {name!r}, expected a column of raw.{self.table}{did_you_mean(near)}")
        faults += [
            f"columns: {name!r} is needed and missing" for name in KEY_COLUMNS[self.table] if name not in self.columns
        ]
        if self.table != "events" and self.roles:
            faults.append("roles: only sources of events have roles")
        if self.delimiter is not None and self.format not in ("csv", "tsv"):
            faults.append(f"delimiter: a {self.format} file has none")
        faults += self._pattern_faults()
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _pattern_faults(self) -> list[str]:
        if self.format != "lines":
            return ["pattern: only `format: lines` has one"] if self.pattern is not None else []
        if self.pattern is None:
            return ["pattern: needed and missing: a regular expression with a named group for each column"]
        try:
            groups = re.compile(self.pattern).groupindex
        except re.error as error:
            return [f"pattern: not a regular expression: {error}"]
        return [] if groups else ["pattern: found no named group, expected one for each column, such as (?P<user>\\S+)"]
