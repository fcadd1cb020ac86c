"""What a user may set: the shape of `profile.yaml`, validated.

Unknown names are errors: a misspelt setting must not be a silent default. Not here: reading the file (`settings_file`), where
things are (`paths`), anything that acts on a setting, defaults that depend on data.
"""

import datetime as dt
import difflib
import hashlib
import json
import re
import zoneinfo
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from profile_pipeline.errors import ExpectedError
from profile_pipeline.raw.roles import ROLES
from profile_pipeline.raw.tables import RECORD_TABLES

TIME_FORMATS = ("iso", "s", "ms", "us")
# Names of attributes are those of files: any but what would have to be quoted within quotes.
ATTRIBUTE_NAME = re.compile(r"""^[^"'\\\x00-\x1f=]{1,64}$""")
NAME_PATTERN = r"^[a-z][a-z0-9_]{0,47}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
RESERVED_MODEL_NAMES = frozenset(
    {"population", "selected_features", "segment_traits", "segment_members", "predictions"}
)
KEY_COLUMNS: dict[str, tuple[str, ...]] = {
    "events": ("event_time", "event_type"),
    "users": ("user_id",),
    "items": ("item_id",),
    "relations": ("user_id", "other_user_id"),
    "contacts": ("campaign", "user_id"),
}
GIVEN_BY_LOADING = frozenset({"file_id", "row_number", "source", "event_hash", "role", "event_date", "loaded_at"})


class ConfigurationError(ExpectedError):
    """The configuration is wrong; the text names file, line, what was found and what to do."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CalendarSettings(_Section):
    """Which days there are, and where midnight is."""

    start: dt.date
    end: dt.date | None = None
    timezone: str = "UTC"

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in zoneinfo.available_timezones():
            near = difflib.get_close_matches(value, sorted(zoneinfo.available_timezones()), n=3)
            raise ValueError(
                f"found {value!r}, expected a name of the tz database such as Asia/Shanghai" + did_you_mean(near)
            )
        return value

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        if self.end is not None and self.end < self.start:
            raise ValueError(f"end {self.end} lies before start {self.start}")
        return self


class ListSettings(_Section):
    """A list made of flag columns, or of one column that is split."""

    flags: tuple[str, ...] | None = None
    split: str | None = None
    on: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.flags is None) == (self.split is None) or (self.split is None) != (self.on is None):
            raise ValueError("expected either `flags: [column, …]` or `split: column` with `on: separator`")
        return self


class SourceSettings(_Section):
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
        return CalendarSettings._known_zone(value)

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
                    f"found {value!r}, expected iso, s, ms or us (since 1970), or a format such as '%d/%m/%Y %H:%M'"
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


class BotSettings(_Section):
    """Who is not a person."""

    user_agents: str = r"bot|crawl|spider|slurp|headless|python-requests|curl/|wget/"
    max_events_per_stream_day: int = Field(default=1000, ge=1)


class FeatureSettings(_Section):
    """How interests fade, what a role is worth, and which CRM columns may be features."""

    interest_half_life_days: int = Field(default=30, ge=1)
    interests_per_kind: int = Field(default=20, ge=1)
    role_weights: dict[str, float] = Field(
        default_factory=lambda: {
            "view": 1.0,
            "search": 1.5,
            "add_to_cart": 3.0,
            "purchase": 5.0,
            "rate": 3.0,
            "play": 2.0,
            "read": 1.0,
            "share": 3.0,
            "follow": 3.0,
        }
    )
    attributes: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @field_validator("attributes", "categories")
    @classmethod
    def _names_of_attributes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [name for name in value if not ATTRIBUTE_NAME.match(name)]
        if wrong:
            raise ValueError(
                f"found {', '.join(map(repr, wrong))}, expected names of attributes of the CRM, without quotes"
            )
        return value

    @field_validator("role_weights")
    @classmethod
    def _known_roles(cls, value: dict[str, float]) -> dict[str, float]:
        SourceSettings._known_roles({role: role for role in value})
        wrong = sorted(
            role for role, weight in value.items() if not 0 <= weight < 1_000_000 or round(weight, 3) != weight
        )
        if wrong:
            raise ValueError(
                f"found the weights of {', '.join(wrong)}, expected numbers from 0 on of at most three decimals"
            )
        return value


class AttributeModelSettings(_Section):
    """Predict what the CRM knows of some people only."""

    task: Literal["attribute"]
    label: str
    bands: tuple[int, ...] | None = None
    # An attribute by which rows are in order of time: the last fifth judges the model, and the gate looks there.
    time: str | None = Field(default=None, pattern=ATTRIBUTE_NAME.pattern)
    # Features that this model must not read, such as what is known only after the fact.
    leave_out: tuple[str, ...] = ()
    min_labels: int = Field(default=60, ge=10)


class OutcomeModelSettings(_Section):
    """Predict what the people who were active lately will do, or not do, within a horizon."""

    task: Literal["outcome"]
    active_days: int = Field(default=28, ge=1)
    horizon_days: int = Field(default=14, ge=1)
    happens: Literal["any"] | tuple[str, ...] = "any"
    is_absence: bool = False
    leave_out: tuple[str, ...] = ()
    min_labels: int = Field(default=60, ge=10)

    @field_validator("happens")
    @classmethod
    def _known_roles(cls, value: Any) -> Any:
        if value != "any":
            SourceSettings._known_roles({role: role for role in value})
        return value


class SegmentModelSettings(_Section):
    """Group people by what they do."""

    task: Literal["segments"]
    k_min: int = Field(default=3, ge=2)
    k_max: int = Field(default=8, ge=2)
    features: tuple[str, ...] | None = None
    n_init: int = Field(default=10, ge=1)
    max_fit_rows: int = Field(default=50_000, ge=100)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.k_max < self.k_min:
            raise ValueError(f"k_max {self.k_max} is below k_min {self.k_min}")
        return self


ModelSettings = Annotated[
    AttributeModelSettings | OutcomeModelSettings | SegmentModelSettings, Field(discriminator="task")
]


# Simple ones first: of two that do equally well the simpler is chosen.
Algorithm = Literal[
    "logistic_regression",
    "naive_bayes",
    "decision_tree_entropy",
    "decision_tree_gini",
    "linear_svm",
    "item_logistic_regression",
    "rbf_svm_nystroem",
    "rbf_svm_exact",
    "lightgbm",
]


class TrainingSettings(_Section):
    """What is spent on training; each line here buys time with thoroughness."""

    algorithms: tuple[Algorithm, ...] = Field(default=get_args(Algorithm), min_length=1)
    default_algorithm: Algorithm = "logistic_regression"
    contest: Literal["newest", "every"] = "newest"
    folds: int = Field(default=3, ge=2)
    held_out_share: float = Field(default=0.2, gt=0, lt=0.9)
    max_features: int = Field(default=60, ge=5)
    n_bootstrap: int = Field(default=200, ge=50)
    exact_kernel_rows: int = Field(default=2_000, ge=100)
    max_train_rows: int = Field(default=200_000, ge=100)
    backfill_weeks: int = Field(default=4, ge=1)


class TagRule(_Section):
    """A value and the condition under which it holds; the first that holds wins."""

    value: str = Field(min_length=1)
    when: str = Field(min_length=1)


class TagSettings(_Section):
    """A tag: a fact of the CRM, ordered rules over columns, a model's prediction; in this order, the first that says something."""

    description: str = ""
    fact: str | None = None
    rules: tuple[TagRule, ...] = ()
    predicted: str | None = None
    min_confidence: float = Field(default=0.5, ge=0, le=1)
    values: dict[str, float] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.fact or self.rules or self.predicted):
            raise ValueError("expected one of `fact: column`, `rules: [{value, when}]`, `predicted: model`")
        return self


class AudienceSettings(_Section):
    """People whose tags fulfil a condition."""

    description: str = ""
    where: str = Field(min_length=1)


class RecommendationSettings(_Section):
    """Item-kNN: which days, which roles, how many."""

    window_days: int = Field(default=90, ge=1)
    shrinkage: float = Field(default=10.0, ge=0)
    neighbours: int = Field(default=100, ge=1)
    per_person: int = Field(default=10, ge=1)
    test_days: int = Field(default=7, ge=1)


class Settings(_Section):
    """All of `profile.yaml`."""

    calendar: CalendarSettings
    currency: str | None = None
    restate_days: int = Field(default=3, ge=0)
    activity_days: int = Field(default=365, ge=1)
    daily_snapshots: int = Field(default=30, ge=1)
    seed: int = 20260105
    events_per_chunk: int = Field(default=4_000_000, ge=1_000)
    memory_limit: str | None = None
    threads: int | None = Field(default=None, ge=1)
    lease_timeout_seconds: float = Field(default=3600, gt=0)
    stable_seconds: float = Field(default=5, ge=0)
    sources: dict[Name, SourceSettings]
    bots: BotSettings = BotSettings()
    features: FeatureSettings = FeatureSettings()
    models: dict[Name, ModelSettings] = Field(default_factory=dict)
    training: TrainingSettings = TrainingSettings()
    recommendations: RecommendationSettings = RecommendationSettings()
    tags: dict[Name, TagSettings] = Field(default_factory=dict)
    audiences: dict[Name, AudienceSettings] = Field(default_factory=dict)

    @field_validator("sources")
    @classmethod
    def _has_sources(cls, value: dict[str, SourceSettings]) -> dict[str, SourceSettings]:
        if not value:
            raise ValueError("expected at least one source")
        return value

    @field_validator("models")
    @classmethod
    def _free_names(cls, value: dict[str, ModelSettings]) -> dict[str, ModelSettings]:
        taken = sorted(RESERVED_MODEL_NAMES & value.keys())
        if taken:
            raise ValueError(f"the names {', '.join(taken)} are tables of the project: choose others")
        return value

    @property
    def has_events(self) -> bool:
        """Say whether any source brings events; else people are those of the CRM."""
        return any(source.table == "events" for source in self.sources.values())

    def fingerprint(self, *sections: str) -> str:
        """Return a hash of the named sections, for the code version of what reads them."""
        tree = self.model_dump(mode="json")
        return hashlib.sha256(json.dumps({s: tree[s] for s in sections}, sort_keys=True).encode()).hexdigest()[:12]


def did_you_mean(names: list[str]) -> str:
    """Return the nearest names as the end of a message, or nothing."""
    return f"; did you mean {' or '.join(names)}?" if names else ""
