"""A new `profile.yaml` for sources that were just proposed: a calendar, and the models, tags and audiences that they can carry.

Not here: the sources themselves (`propose`), or putting one into a file that is there (`yaml_text`).
"""

import datetime as dt
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from profile_pipeline.raw.proposing.kinds import ColumnKind
from profile_pipeline.raw.proposing.propose import Proposal, role_counts
from profile_pipeline.raw.proposing.vocabulary import LABELS, folded
from profile_pipeline.raw.proposing.yaml_text import scalar, source_text
from profile_pipeline.settings import ATTRIBUTE_NAME

AGE_BANDS = [30, 45]
FEWEST_DAYS_BEFORE_A_COHORT = 28
# Horizon and days of activity -> the shortest calendar in which a cohort to train on and one to judge by have ended.
HORIZONS = ((28, 90), (14, 28), (7, 14))
MOST_CLASSES, MOST_CATEGORIES = 12, 50
FACTS = ("city", "country", "occupation", "education", "income_band")
SEGMENTS: dict[str, Any] = {"task": "segments", "k_min": 3, "k_max": 8}
MOST_SEGMENT_NUMBERS = 5
_OUTLIER_SHARE, _OUTLIER_GAP_DAYS = 0.005, 365


@dataclass(frozen=True)
class Calendar:
    """Days found in the sources, and where midnight is."""

    start: dt.date
    end: dt.date
    timezone: str
    is_of_sample: bool = False
    n_left_out: int = 0

    @property
    def n_days(self) -> int:
        return (self.end - self.start).days + 1


def calendar_of(days: Counter[dt.date], *, timezone: str, is_of_sample: bool) -> Calendar:
    """Return the span of the days with events; single events years away from all others are left out.

    Examples
    --------
    >>> days = Counter({dt.date(1956, 1, 1): 1, dt.date(2011, 5, 1): 900, dt.date(2011, 5, 30): 100})
    >>> calendar_of(days, timezone="UTC", is_of_sample=False).start
    datetime.date(2011, 5, 1)
    """
    ordered = sorted(days)
    allowed = _OUTLIER_SHARE * days.total()
    first, last, n_before, n_after = 0, len(ordered) - 1, 0, 0
    n_cut = 0
    for place in range(len(ordered) - 1):
        n_before += days[ordered[place]]
        if n_before <= allowed and (ordered[place + 1] - ordered[place]).days > _OUTLIER_GAP_DAYS:
            first, n_cut = place + 1, n_before
    for place in range(len(ordered) - 1, first, -1):
        n_after += days[ordered[place]]
        if n_after <= allowed and (ordered[place] - ordered[place - 1]).days > _OUTLIER_GAP_DAYS:
            last = place - 1
    n_cut += sum(days[day] for day in ordered[last + 1 :])
    return Calendar(ordered[first], ordered[last], timezone, is_of_sample, n_cut)


def calendar_without_events(day: dt.date, timezone: str) -> Calendar:
    """Return the newest week whose next Monday lies before a day, and that Monday: the model of the week scores it."""
    before = day - dt.timedelta(days=1)
    monday = before - dt.timedelta(days=before.weekday())
    return Calendar(monday - dt.timedelta(days=7), monday, timezone)


def new_profile(
    proposals: Mapping[str, Proposal],
    event_types: Mapping[str, Mapping[str, int]],
    calendar: Calendar,
    currency: str | None,
) -> str:
    """Return the text of a complete `profile.yaml`.

    Parameters
    ----------
    event_types
        Name of the source -> type of event -> how many.
    """
    roles: Counter[str] = Counter()
    for name, proposal in proposals.items():
        roles.update(role_counts(proposal, dict(event_types.get(name, {}))))
    people = next((p for p in proposals.values() if p.settings["table"] == "users"), None)
    models = _models(roles, people, calendar)
    lines = [
        "# Written by `profile-pipeline sources add`; edit it freely. docs/your-data.md tells what each setting means.",
        "",
        *_calendar_lines(calendar, has_events=bool(roles)),
        *([f"currency: {currency}"] if currency else []),
        "",
        "sources:",
    ]
    for name, proposal in proposals.items():
        block = source_text(name, proposal.settings, proposal.notes)
        lines += [f"  {line}" if line else line for line in block.splitlines()]
    features = _features(people, models) if people is not None and not roles else {}
    if not roles:
        models = models | _segments_of(people, features)
    tags = _tags(roles, people, models)
    for section, entries in (("models", models), ("tags", tags), ("audiences", _audiences(tags))):
        if section == "models" and features:
            lines += ["", "features:", *(f"  {name}: {scalar(columns)}" for name, columns in features.items())]
        if entries:
            lines += ["", f"{section}:"]
            for name, entry in entries.items():
                lines += _entry_lines(name, entry)
    return "\n".join(lines) + "\n"


def _calendar_lines(calendar: Calendar, *, has_events: bool) -> list[str]:
    source = (
        "Days with events in the files"
        if has_events
        else "No file holds events: one week, and the Monday that its models score"
    )
    sampled = " (of a sample: look whether the last day is right)" if calendar.is_of_sample else ""
    text = [f"# {source}{sampled}. Without `end` the calendar goes on with every new day."]
    if calendar.n_left_out:
        text.append(f"# {calendar.n_left_out} events lie years away from all others and are left out.")
    return [*text, f"calendar: {{start: {calendar.start}, end: {calendar.end}, timezone: {calendar.timezone}}}"]


def _entry_lines(name: str, entry: dict[str, Any]) -> list[str]:
    if "rules" not in entry:
        return [f"  {name}: {scalar(entry)}"]
    lines = [f"  {name}:", f"    description: {scalar(entry['description'])}", "    rules:"]
    return lines + [f"      - {scalar(rule)}" for rule in entry["rules"]]


def _models(roles: Counter[str], people: Proposal | None, calendar: Calendar) -> dict[str, dict[str, Any]]:
    models = _attribute_models(people) if people is not None else {}
    fitting = [(h, a) for h, a in HORIZONS if calendar.n_days >= FEWEST_DAYS_BEFORE_A_COHORT + 2 * h + 7]
    if roles and fitting:
        horizon, active = fitting[0]
        if roles["purchase"] + roles["refund"] == roles.total():
            models["repurchase"] = {
                "task": "outcome",
                "active_days": active,
                "horizon_days": horizon,
                "happens": ["purchase"],
            }
        else:
            horizon, active = next(((h, a) for h, a in fitting if h <= 14), fitting[-1])
            name = "churn" if "churn" not in models else "inactivity"
            models[name] = {
                "task": "outcome",
                "active_days": active,
                "horizon_days": horizon,
                "happens": "any",
                "is_absence": True,
            }
    return models | ({"segments": SEGMENTS} if roles else {})


def _attribute_models(people: Proposal) -> dict[str, dict[str, Any]]:
    """Gender, age, what looks like a label; else the column with the fewest values."""
    columns = people.settings["columns"]
    kinds = {kind.name: kind for kind in people.sample.columns}
    found: dict[str, dict[str, Any]] = {}
    if "gender" in columns:
        found["gender"] = {"task": "attribute", "label": "gender"}
    if "birth_year" in columns or "birth_date" in columns:
        label = "birth_year" if "birth_year" in columns else "birth_date"
        found["age_band"] = {"task": "attribute", "label": label, "bands": AGE_BANDS}
    kept = [kind for kind in kinds.values() if _is_attribute(people, kind)]
    age = next((k for k in kept if folded(k.name) in ("age", "年龄")), None)
    if age is not None and "age_band" not in found:
        bands = {"bands": AGE_BANDS} if age.is_number and age.n_distinct > MOST_CLASSES else {}
        found["age_band"] = {"task": "attribute", "label": f"attributes.{age.name}"} | bands
    labelled = next((k for name in LABELS for k in kept if folded(k.name) == name), None)
    if labelled is not None:
        found[_model_name(labelled)] = {"task": "attribute", "label": f"attributes.{labelled.name}"}
    if not found:
        few = [k for k in kept if 2 <= k.n_distinct <= MOST_CLASSES and not k.is_key]
        if few:
            found[_model_name(few[0])] = {"task": "attribute", "label": f"attributes.{few[0].name}"}
    return found


def _model_name(kind: ColumnKind) -> str:
    word = folded(kind.name)
    return word if word.isascii() and word.isalpha() and len(word) > 1 else "label"


def _is_attribute(people: Proposal, kind: ColumnKind) -> bool:
    """Say whether a column stands among the attributes under a name that tags and labels can say."""
    attributes = people.settings.get("attributes", ())
    is_mapped = kind.reference in people.settings["columns"].values()
    return (attributes == "all" or kind.name in attributes) and not is_mapped and bool(ATTRIBUTE_NAME.match(kind.name))


def _features(people: Proposal, models: Mapping[str, dict[str, Any]]) -> dict[str, list[str]]:
    """What a model may learn from where there are no events: numbers and few-valued columns that are no label."""
    labels = {str(model.get("label", "")).removeprefix("attributes.") for model in models.values()}
    kept = [k for k in people.sample.columns if _is_attribute(people, k) and k.name not in labels and not k.is_blank]
    numbers = [k.name for k in kept if k.is_number and not k.is_key and k.n_distinct > 2]
    few = [k.name for k in kept if k.name not in numbers and 2 <= k.n_distinct <= MOST_CATEGORIES]
    known = [c for c in FACTS if c in people.settings["columns"] and c not in labels]
    # Two names that differ in signs only would share a column.
    by_column = {re.sub("[^a-z0-9]+", "_", name.lower()): name for name in reversed(numbers)}
    numbers = [name for name in numbers if name in by_column.values()]
    return {section: names for section, names in (("attributes", numbers), ("categories", [*known, *few])) if names}


def _segments_of(people: Proposal | None, features: Mapping[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Segments of people without events: by some numbers of the CRM, and the most frequent words of one column."""
    if people is None or not features:
        return {}
    numbers = [f"attribute_{re.sub('[^a-z0-9]+', '_', name.lower())}" for name in features.get("attributes", [])]
    kinds = {kind.name: kind for kind in people.sample.columns}
    few = next((kinds[name] for name in features.get("categories", []) if name in kinds), None)
    words = [] if few is None else [f"crm:{few.name}={value}" for value, _ in few.counts.most_common(2)]
    return {"segments": SEGMENTS | {"features": [*numbers[:MOST_SEGMENT_NUMBERS], *words]}}


def _tags(roles: Counter[str], people: Proposal | None, models: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    tags: dict[str, dict[str, Any]] = {}
    columns = people.settings["columns"] if people is not None else {}
    if "gender" in columns:
        tags["gender"] = {
            "description": "Gender; known or else predicted",
            "fact": "gender",
            "predicted": "gender",
            "min_confidence": 0.6,
        }
    for name, model in models.items():
        if model["task"] == "attribute" and name != "gender":
            tags[name] = {
                "description": f"{name.replace('_', ' ').capitalize()}; known or else predicted",
                "predicted": name,
            }
    for name in FACTS:
        if name in columns:
            tags[name] = {"description": name.replace("_", " ").capitalize(), "fact": name}
    if "segments" in models:
        tags["segment"] = {"description": "People who behave alike", "predicted": "segments", "min_confidence": 0.0}
    if "churn" in models and models["churn"]["task"] == "outcome":
        horizon = models["churn"]["horizon_days"]
        tags["churn_risk"] = {
            "description": f"Chance to be gone for the next {horizon} days", "predicted": "churn", "values": {"high": 0.5, "medium": 0.25, "low": 0.0},
        }  # fmt: skip
    if "repurchase" in models:
        horizon = models["repurchase"]["horizon_days"]
        tags["will_buy"] = {
            "description": f"Chance to buy within {horizon} days", "predicted": "repurchase", "values": {"likely": 0.5, "possible": 0.25, "unlikely": 0.0},
        }  # fmt: skip
    if roles:
        tags["activity"] = {
            "description": "How often one comes",
            "rules": [
                {"value": "heavy", "when": "n_active_days_30d >= 10"}, {"value": "regular", "when": "n_active_days_30d >= 4"},
                {"value": "light", "when": "n_active_days_30d >= 1"}, {"value": "dormant", "when": "n_active_days_30d = 0"},
            ],
        }  # fmt: skip
    if roles["purchase"]:
        tags["value_tier"] = {
            "description": "Where the net amount of 90 days stands among all people",
            "rules": [
                {"value": "high", "when": "net_amount_90d > 0 and net_amount_90d >= quantile(net_amount_90d, 0.8)"},
                {"value": "medium", "when": "net_amount_90d > 0"}, {"value": "none", "when": "net_amount_90d <= 0"},
            ],
        }  # fmt: skip
    return tags


def _audiences(tags: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    if "value_tier" in tags:
        found["best_customers"] = {"description": "Spend most", "where": "value_tier = 'high'"}
    if "activity" in tags:
        found["regulars"] = {"description": "Come often", "where": "activity in ('heavy', 'regular')"}
    if "churn_risk" in tags:
        found["at_risk"] = {"description": "Likely to leave", "where": "churn_risk = 'high'"}
    return found
