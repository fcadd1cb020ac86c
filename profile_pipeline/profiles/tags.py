"""Tags from `tags:`: facts of the CRM, ordered rules over columns, predictions; one value a tag, with what it rests on.

Here one query is written for all tags. Not here: the language of conditions (`conditions`), scores, or running it.
"""

import difflib
from collections.abc import Mapping

from sqlglot import exp

from profile_pipeline.cleaned.tables import USERS
from profile_pipeline.features.tables import BEHAVIOR
from profile_pipeline.models.labels import label_expression
from profile_pipeline.profiles.conditions import Condition, ConditionError, parse_condition
from profile_pipeline.profiles.tables import USER_PROFILES
from profile_pipeline.settings import ATTRIBUTE_NAME, AttributeModelSettings, SegmentModelSettings, TagSettings
from profile_pipeline.table import quote_identifier

ATTRIBUTE_PREFIX = "attributes."
_NOT_FOR_RULES = frozenset({"profile_id", "as_of_date", "is_final", "user_ids", "attributes", "interests"})
RULE_COLUMNS: tuple[str, ...] = tuple(
    dict.fromkeys(
        name for table in (USER_PROFILES, BEHAVIOR) for name in table.column_names if name not in _NOT_FOR_RULES
    )
)
FACT_COLUMNS: tuple[str, ...] = tuple(
    c for c in USER_PROFILES.column_names if c in USERS.column_names and c != "attributes"
)


def check_tags(tags: Mapping[str, TagSettings], models: Mapping[str, object]) -> list[str]:
    """Return the faults of all tags: unknown columns and models, with the nearest names."""
    faults = []
    for name, tag in tags.items():
        if tag.fact and not tag.fact.startswith(ATTRIBUTE_PREFIX) and tag.fact not in FACT_COLUMNS:
            faults.append(
                f"tags.{name}.fact: found {tag.fact!r}, expected attributes.<name> or a column of the CRM{_near(tag.fact, FACT_COLUMNS)}"
            )
        if (
            tag.fact
            and tag.fact.startswith(ATTRIBUTE_PREFIX)
            and not ATTRIBUTE_NAME.match(tag.fact.removeprefix(ATTRIBUTE_PREFIX))
        ):
            faults.append(
                f"tags.{name}.fact: found {tag.fact!r}, expected attributes.<name> of an attribute without quotes"
            )
        if tag.predicted and tag.predicted not in models:
            faults.append(
                f"tags.{name}.predicted: found {tag.predicted!r}, expected a name of `models:`{_near(tag.predicted, tuple(models))}"
            )
        if tag.values and isinstance(models.get(tag.predicted or ""), SegmentModelSettings | None):
            faults.append(
                f"tags.{name}.values: found thresholds of a probability, expected them beside `predicted:` with a model that gives one"
            )
        for number, rule in enumerate(tag.rules):
            try:
                parse_condition(rule.when, RULE_COLUMNS)
            except ConditionError as error:
                faults.append(f"tags.{name}.rules.{number}.when: {error}")
    return faults


def _near(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else f" (known: {', '.join(known)})"


def quantiles_needed(tags: Mapping[str, TagSettings]) -> list[str]:
    """Return the keys of `models.population` that rules read."""
    keys = [
        key for tag in tags.values() for rule in tag.rules for key in parse_condition(rule.when, RULE_COLUMNS).quantiles
    ]
    return sorted(set(keys))


def _text(value: str) -> str:
    return exp.Literal.string(value).sql(dialect="duckdb")


def tags_sql(tags: Mapping[str, TagSettings], models: Mapping[str, object]) -> str:
    """Return the query of all tags of the days of `snapshot_days`.

    It reads `profiles.user_profiles`, `features.behavior`, `profiles.scores`, and the temporary tables `snapshot_days` (as_of_date), `tag_quantiles`
    (as_of_date, one column `quantile:<key>` each) and `other_classes` (model, week, class): of two classes the negative one.
    """
    parts = []
    for name, tag in tags.items():
        model = models[tag.predicted] if tag.predicted else None
        if tag.fact:
            parts.append(_fact(name, tag.fact))
        elif isinstance(model, AttributeModelSettings):
            parts.append(_known_label(name, model))
        if tag.rules:
            parts.append(_rules(name, tag))
        if tag.predicted:
            parts.append(_predicted(name, tag, is_segments=isinstance(model, SegmentModelSettings)))
    behavior = ", ".join(
        f"b.{quote_identifier(c)}" for c in BEHAVIOR.column_names if c not in USER_PROFILES.column_names
    )
    return (
        f"with people as (select p.*, {behavior}, q.* exclude (as_of_date) from profiles.user_profiles as p"
        " left join features.behavior as b on b.profile_id = p.profile_id and b.as_of_date = p.as_of_date"
        " left join tag_quantiles as q on q.as_of_date = p.as_of_date"
        " where p.as_of_date in (select as_of_date from snapshot_days)),"
        " scores as (select * from profiles.scores where as_of_date in (select as_of_date from snapshot_days)),"
        f" said as ({' union all '.join(parts)}),"
        " ranked as (select *, row_number() over (partition by as_of_date, profile_id, tag order by priority) as place from said)"
        " select profile_id, as_of_date, tag, value, confidence, kind, evidence, is_final from ranked where place = 1"
    )


_COLUMNS = "profile_id, as_of_date, {tag} as tag, {value} as value, {confidence} as confidence, '{kind}' as kind, {evidence} as evidence, is_final, {priority} as priority"


def _fact(name: str, column: str) -> str:
    path = column.removeprefix(ATTRIBUTE_PREFIX)
    value = (
        f"json_extract_string(attributes, '$.\"{path}\"')"
        if column.startswith(ATTRIBUTE_PREFIX)
        else f"cast({quote_identifier(column)} as varchar)"
    )
    return _crm(name, value, column)


def _known_label(name: str, model: AttributeModelSettings) -> str:
    """What a model of an attribute was trained on is known of some people: the fact goes before the prediction."""
    return _crm(name, label_expression(model, of="people", as_of_date="people.as_of_date"), model.label)


def _crm(name: str, value: str, column: str) -> str:
    selected = _COLUMNS.format(
        tag=_text(name),
        value=value,
        confidence="cast(1 as double)",
        kind="fact",
        evidence=f"to_json({{'source': 'crm', 'column': {_text(column)}}})",
        priority=1,
    )
    return f"select {selected} from people where {value} is not null and {value} <> ''"


def _rules(name: str, tag: TagSettings) -> str:
    conditions: list[tuple[str, Condition, str]] = [
        (rule.value, parse_condition(rule.when, RULE_COLUMNS), rule.when) for rule in tag.rules
    ]
    value = " ".join(f"when {c.sql} then {_text(v)}" for v, c, _ in conditions)
    evidence = " ".join(f"when {c.sql} then {_evidence(c, text)}" for _, c, text in conditions)
    selected = _COLUMNS.format(
        tag=_text(name),
        value="rule_value",
        confidence="cast(null as double)",
        kind="rule",
        evidence="rule_evidence",
        priority=2,
    )
    return f"select {selected} from (select *, case {value} end as rule_value, case {evidence} end as rule_evidence from people) where rule_value is not null"


def _evidence(condition: Condition, text: str) -> str:
    pairs = [f"{_text(c)}: {quote_identifier(c)}" for c in condition.columns]
    pairs += [f"{_text(f'quantile({key})')}: {quote_identifier(f'quantile:{key}')}" for key in condition.quantiles]
    # A condition may read no column, and there is no struct of nothing.
    columns = f"{{{', '.join(pairs)}}}" if pairs else "cast(map([], []) as map(varchar, varchar))"
    return f"to_json({{'when': {_text(text)}, 'columns': {columns}}})"


def _predicted(name: str, tag: TagSettings, *, is_segments: bool) -> str:
    """The class with the highest probability; with `values`, the first of these whose threshold the probability reaches.

    The confidence is the calibrated probability of the class that the evidence names; for segments, how far one is from the
    border of the next.
    """
    where = f"model = {_text(str(tag.predicted))}"
    if is_segments:
        told = f"select *, class as told, greatest(0, least(1, score)) as sure from scores where {where}"
    elif tag.values:
        bands = " ".join(
            f"when probability >= {threshold!r} then {_text(value)}"
            for value, threshold in sorted(tag.values.items(), key=lambda v: -v[1])
        )
        told = f"select *, case {bands} end as told, probability as sure from scores where {where}"
    else:
        told = (
            "select s.* exclude (class), case when o.class is not null and s.probability < 0.5 then o.class else s.class end as class,"
            " case when o.class is not null and s.probability < 0.5 then o.class else s.class end as told,"
            " case when o.class is not null and s.probability < 0.5 then 1 - s.probability else s.probability end as sure"
            f" from (select * from scores where {where}) as s left join other_classes as o on o.model = s.model and o.week = s.week"
        )
    # A double is rounded at its last place before it is moved back: round(x, 6) is not the same everywhere.
    told_numbers = ", ".join(
        f"'{name}': cast(round({name} * {10**places}) as double) / {10**places}"
        for name, places in (("probability", 6), ("score", 6), ("percentile", 4))
    )
    evidence = f"to_json({{'model': model, 'week': cast(week as varchar), 'class': class, {told_numbers}}})"
    selected = _COLUMNS.format(
        tag=_text(name), value="told", confidence="sure", kind="predicted", evidence=evidence, priority=3
    )
    return (
        f"select {selected} from (select *, row_number() over (partition by as_of_date, profile_id order by sure desc, told) as place from ({told}))"
        f" where place = 1 and told is not null and sure >= {0.0 if tag.values else tag.min_confidence!r}"
    )
