"""All tags of a person: facts of the CRM before rules before predictions, with what each rests on.

Not here: scores, which the stored models make of recomputed features (`orchestration.verifying.scores_again`), or quantiles of all people, which
are taken as they were fitted.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from profile_pipeline.profiles.conditions import Condition, parse_condition
from profile_pipeline.profiles.tags import ATTRIBUTE_PREFIX, RULE_COLUMNS
from profile_pipeline.settings import AttributeModelSettings, SegmentModelSettings, Settings, TagSettings
from profile_pipeline.verification.conditions import NotEvaluatedError, is_true
from profile_pipeline.verification.people import People, known_text
from profile_pipeline.verification.values import Number, as_json_number, number_of, rounded

Row = dict[str, Any]

CENTS = Decimal("0.01")


@dataclass(frozen=True)
class Scored:
    """What was said of people.

    Attributes
    ----------
    rows
        Rows of `profiles.scores` by (profile_id, model).
    other_classes
        Of models of two classes the one that is not told, by (model, week).
    quantiles
        Of all people, by `<column>:<q>`; null before the first week.
    """

    rows: Mapping[tuple[str, str], Sequence[Row]]
    other_classes: Mapping[tuple[str, dt.date], str]
    quantiles: Mapping[str, float | None]


def tags(
    people: People, day: dt.date, profiles: Iterable[Row], behavior: Mapping[str, Row], scored: Scored
) -> tuple[list[Row], set[str]]:
    """Return the rows of `profiles.tags` of a day, and the names of tags that can't be evaluated here.

    Parameters
    ----------
    profiles, behavior
        What should be there of `profiles.user_profiles` and, by profile, of `features.behavior`.
    """
    settings = people.settings
    of_head = {profile.profile_id: profile for profile in people.profiles_on(day)}
    found, left_out = [], set()
    for profile in profiles:
        profile_id = profile["profile_id"]
        crm = next(iter(people.crm_of(of_head[profile_id], day)), None)
        known = dict.fromkeys(RULE_COLUMNS) | behavior.get(profile_id, {}) | profile
        known |= {f"quantile:{key}": value for key, value in scored.quantiles.items()}
        for name, tag in settings.tags.items():
            try:
                said = (
                    _fact(tag, crm, day, settings)
                    or _by_rule(tag, known)
                    or _predicted(tag, profile_id, scored, settings)
                )
            except NotEvaluatedError:
                left_out.add(name)
                continue
            if said is not None:
                found.append({"profile_id": profile_id, "as_of_date": day, "tag": name} | said)
    return found, left_out


def _fact(tag: TagSettings, crm: Row | None, day: dt.date, settings: Settings) -> Row | None:
    """Return what the CRM says, or knows of what a model was trained on."""
    model = settings.models.get(tag.predicted or "")
    if crm is None:
        return None
    if tag.fact:
        column, value = tag.fact, known_text(crm, tag.fact.removeprefix(ATTRIBUTE_PREFIX))
    elif isinstance(model, AttributeModelSettings):
        column, value = model.label, _label(model, crm, day)
    else:
        return None
    return (
        None
        if not value
        else {"value": value, "confidence": 1.0, "kind": "fact", "evidence": {"source": "crm", "column": column}}
    )


def _label(model: AttributeModelSettings, crm: Row, day: dt.date) -> str | None:
    name = model.label.removeprefix(ATTRIBUTE_PREFIX)
    if not model.bands:
        return known_text(crm, name)
    number: float | None
    if model.label == "birth_year":
        number = None if crm["birth_year"] is None else day.year - crm["birth_year"]
    elif model.label == "birth_date":
        born = crm["birth_date"]
        number = None if born is None else day.year - born.year - ((day.month, day.day) < (born.month, born.day))
    else:
        number = number_of(known_text(crm, name))
    if number is None:
        return None
    reached = sum(not number < border for border in model.bands)
    if reached == 0:
        return f"under {model.bands[0]}"
    if reached == len(model.bands):
        return f"{model.bands[-1]} and over"
    return f"{model.bands[reached - 1]} to {model.bands[reached] - 1}"


def _by_rule(tag: TagSettings, known: Mapping[str, Any]) -> Row | None:
    for rule in tag.rules:
        condition = parse_condition(rule.when, RULE_COLUMNS)
        if is_true(condition, known):
            evidence = {"when": rule.when, "columns": _read(condition, known)}
            return {"value": rule.value, "confidence": None, "kind": "rule", "evidence": evidence}
    return None


def _read(condition: Condition, known: Mapping[str, Any]) -> Row:
    columns = {name: _told(known[name]) for name in condition.columns}
    return columns | {f"quantile({key})": _told(known[f"quantile:{key}"]) for key in condition.quantiles}


def _told(value: Any) -> Any:
    """Return a value as JSON says it."""
    if isinstance(value, float):
        return as_json_number(value)
    if isinstance(value, Decimal):
        return Number(value.quantize(CENTS))
    if isinstance(value, int) and not isinstance(value, bool):
        return Number(value)
    return value if value is None or isinstance(value, bool) else str(value)


def _predicted(tag: TagSettings, profile_id: str, scored: Scored, settings: Settings) -> Row | None:
    if tag.predicted is None:
        return None
    is_segments = isinstance(settings.models[tag.predicted], SegmentModelSettings)
    options = []
    for score in scored.rows.get((profile_id, tag.predicted), ()):
        told, sure, of_class = _said(tag, score, scored, is_segments=is_segments)
        options.append((-sure, told is None, told or "", of_class, score))
    if not options:
        return None
    negative, is_nothing, told, of_class, score = min(options, key=lambda option: option[:3])
    if is_nothing or -negative < (0.0 if tag.values else tag.min_confidence):
        return None
    evidence: Row = {"model": tag.predicted, "week": str(score["week"]), "class": of_class}
    for name, places in (("probability", 6), ("score", 6), ("percentile", 4)):
        evidence[name] = None if score[name] is None else _to_places(score[name], places)
    return {"value": told, "confidence": -negative, "kind": "predicted", "evidence": evidence}


def _said(tag: TagSettings, score: Row, scored: Scored, *, is_segments: bool) -> tuple[str | None, float, str]:
    """Return what a score tells, how sure it is, and of which class."""
    of_class, probability = score["class"], score["probability"]
    if is_segments:
        return of_class, max(0.0, min(1.0, score["score"])), of_class
    if tag.values:
        bands = sorted(tag.values.items(), key=lambda band: -band[1])
        return next((value for value, least in bands if probability >= least), None), probability, of_class
    other = scored.other_classes.get((tag.predicted or "", score["week"]))
    if other is not None and probability < 0.5:
        return other, 1 - probability, other
    return of_class, probability, of_class


def _to_places(value: float, places: int) -> Number:
    return as_json_number(float(rounded(Decimal(value * 10**places), 0)) / 10**places)
