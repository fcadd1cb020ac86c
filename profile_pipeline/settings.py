"""What a user may set: the shape of `profile.yaml`, validated.

Unknown names are errors: a misspelt setting must not be a silent default. Not here: reading the file (`settings_file`), where
things are (`paths`), anything that acts on a setting, defaults that depend on data.
"""

import datetime as dt
import hashlib
import json
import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from profile_pipeline.raw.roles import COUNT_OF_ROLE
from profile_pipeline.source_settings import Section, SourceSettings, known_zone

# Names of attributes are those of files: any but what would have to be quoted within quotes.
ATTRIBUTE_NAME = re.compile(r"""^[^"'\\\x00-\x1f=]{1,64}$""")
MOST_DAYS = 36_500
EARLIEST, LATEST = dt.date(1800, 1, 1), dt.date(2199, 12, 31)
NAME_PATTERN = r"^[a-z][a-z0-9_]{0,47}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
RESERVED_MODEL_NAMES = frozenset(
    {"population", "selected_features", "segment_traits", "segment_members", "predictions"}
)


class CalendarSettings(Section):
    """Which days there are, and where midnight is."""

    start: dt.date
    end: dt.date | None = None
    timezone: str = "UTC"

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return known_zone(value)

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        if self.end is not None and self.end < self.start:
            raise ValueError(f"end {self.end} lies before start {self.start}")
        if not self.start >= EARLIEST or (self.end is not None and self.end > LATEST):
            raise ValueError(f"found {self.start} to {self.end}, expected days from {EARLIEST} to {LATEST}")
        return self


class BotSettings(Section):
    """Who is not a person."""

    user_agents: str = r"bot|crawl|spider|slurp|headless|python-requests|curl/|wget/"
    max_events_per_stream_day: int = Field(default=1000, ge=1)


class FeatureSettings(Section):
    """How interests fade, what a role is worth, and which CRM columns may be features."""

    interest_half_life_days: int = Field(default=30, ge=1, le=MOST_DAYS)
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
        if wrong or not value:
            raise ValueError(
                f"found {'the weights of ' + ', '.join(wrong) if wrong else 'no weight'}, expected numbers from 0 on of at most three decimals"
            )
        return value


class AttributeModelSettings(Section):
    """Predict what the CRM knows of some people only."""

    task: Literal["attribute"]
    label: str
    bands: tuple[int, ...] | None = None
    # An attribute by which rows are in order of time: the last fifth judges the model, and the gate looks there.
    time: str | None = Field(default=None, pattern=ATTRIBUTE_NAME.pattern)
    # Features that this model must not read, such as what is known only after the fact.
    leave_out: tuple[str, ...] = ()
    min_labels: int = Field(default=60, ge=10)

    @field_validator("bands")
    @classmethod
    def _ascending(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (not value or list(value) != sorted(set(value))):
            raise ValueError(f"found {list(value)}, expected the lower ends of bands, each above the one before")
        return value


class OutcomeModelSettings(Section):
    """Predict what the people who were active lately will do, or not do, within a horizon."""

    task: Literal["outcome"]
    active_days: int = Field(default=28, ge=1, le=MOST_DAYS)
    horizon_days: int = Field(default=14, ge=1, le=MOST_DAYS)
    happens: Literal["any"] | tuple[str, ...] = "any"
    is_absence: bool = False
    leave_out: tuple[str, ...] = ()
    min_labels: int = Field(default=60, ge=10)

    @field_validator("happens")
    @classmethod
    def _known_roles(cls, value: Any) -> Any:
        if value != "any":
            wrong = [role for role in value if role not in COUNT_OF_ROLE]
            if wrong or not value:
                raise ValueError(
                    f"found {', '.join(map(repr, wrong)) or 'no role'}, expected any, or some of {', '.join(COUNT_OF_ROLE)}"
                )
        return value


class SegmentModelSettings(Section):
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


class TrainingSettings(Section):
    """What is spent on training; each line here buys time with thoroughness."""

    algorithms: tuple[Algorithm, ...] = Field(default=get_args(Algorithm), min_length=1)
    default_algorithm: Algorithm = "logistic_regression"
    contest: Literal["newest", "every"] = "newest"
    folds: int = Field(default=3, ge=2, le=20)
    held_out_share: float = Field(default=0.2, gt=0, lt=0.9)
    max_features: int = Field(default=60, ge=5)
    n_bootstrap: int = Field(default=200, ge=50)
    exact_kernel_rows: int = Field(default=2_000, ge=100)
    max_train_rows: int = Field(default=200_000, ge=100)
    backfill_weeks: int = Field(default=4, ge=1)


class TagRule(Section):
    """A value and the condition under which it holds; the first that holds wins."""

    value: str = Field(min_length=1)
    when: str = Field(min_length=1)


class TagSettings(Section):
    """A tag: a fact of the CRM, ordered rules over columns, a model's prediction; in this order, the first that says something."""

    description: str = ""
    fact: str | None = None
    rules: tuple[TagRule, ...] = ()
    predicted: str | None = None
    min_confidence: float = Field(default=0.5, ge=0, le=1)
    values: dict[str, Annotated[float, Field(ge=0, le=1)]] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.fact or self.rules or self.predicted):
            raise ValueError("expected one of `fact: column`, `rules: [{value, when}]`, `predicted: model`")
        return self


class AudienceSettings(Section):
    """People whose tags fulfil a condition."""

    description: str = ""
    where: str = Field(min_length=1)


class RecommendationSettings(Section):
    """Item-kNN: which days, which roles, how many."""

    window_days: int = Field(default=90, ge=1, le=MOST_DAYS)
    shrinkage: float = Field(default=10.0, ge=0)
    neighbours: int = Field(default=100, ge=1)
    per_person: int = Field(default=10, ge=1)
    test_days: int = Field(default=7, ge=1, le=MOST_DAYS)


class Settings(Section):
    """All of `profile.yaml`."""

    calendar: CalendarSettings
    currency: str | None = None
    restate_days: int = Field(default=3, ge=0, le=MOST_DAYS)
    activity_days: int = Field(default=365, ge=1, le=MOST_DAYS)
    daily_snapshots: int = Field(default=30, ge=1)
    seed: int = Field(default=20260105, ge=0, lt=2**32 - 100)
    events_per_chunk: int = Field(default=4_000_000, ge=1_000)
    memory_limit: str | None = Field(default=None, pattern=r"^\d+(\.\d+)? ?([KMGT]i?)?B$")
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
