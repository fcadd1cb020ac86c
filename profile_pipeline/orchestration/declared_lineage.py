"""Where columns come from that no shipped SQL makes: models, evaluation, scores, tags, audiences, recommendations, insights.

Said here, from the settings, because Python can't be asked; what a step really reads is held against it by a test. As in what is
derived, a column comes from the values that it is made of: a join or a filter adds tables, not columns; what settings or the
calendar give comes from nothing. A step's own tables of earlier weeks are left out. Not here: what SQL says (`lineage`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from profile_pipeline.applications.tables import AUDIENCES, INSIGHTS, RECOMMENDATIONS
from profile_pipeline.cleaned.tables import TOUCHED
from profile_pipeline.evaluation.tables import CALIBRATION, CONFUSION, CURVES, GATES, IMPORTANCE, METRICS
from profile_pipeline.features.matrix import (
    CATEGORY_PREFIX,
    CRM_COLUMNS,
    INTEREST_PREFIX,
    NOT_FEATURES,
    user_features_table,
)
from profile_pipeline.features.tables import BEHAVIOR, STALE_DAYS
from profile_pipeline.models.inputs import ITEM_ALGORITHM, SEGMENT_FEATURES, forbidden_features
from profile_pipeline.models.tables import PREDICTIONS, SEGMENT_MEMBERS, SEGMENT_TRAITS, SELECTED_FEATURES, model_table
from profile_pipeline.orchestration.lineage import Lineage
from profile_pipeline.profiles.conditions import parse_condition
from profile_pipeline.profiles.tables import SCORES, TAGS, USER_PROFILES
from profile_pipeline.profiles.tags import ATTRIBUTE_PREFIX, RULE_COLUMNS
from profile_pipeline.raw.roles import COUNT_OF_ROLE
from profile_pipeline.raw.tables import TABLES as RAW
from profile_pipeline.settings import AttributeModelSettings, OutcomeModelSettings, SegmentModelSettings, Settings
from profile_pipeline.table import Table

Names = Sequence[str]
ITEMS_DONE = tuple(f"features.user_item_days.{name}" for name in ("item_id", "n", "role"))
INTERESTS_READ = tuple(f"features.interests.{name}" for name in ("kind", "interest", "score"))
HELD = ("cleaned.identities.profile_id",)


def declared_lineages(settings: Settings) -> dict[str, Lineage]:
    """Return, by table, the lineage of every table that no shipped SQL makes."""
    return {
        **{table.name: _lineage(table, {}) for table in RAW},
        TOUCHED.name: _lineage(
            TOUCHED,
            {name: [f"cleaned.events.{name}"] for name in ("event_date", "stream_id", "alias_id")},
            reads=["cleaned.sessions"],
        ),
        STALE_DAYS.name: _lineage(
            STALE_DAYS,
            {
                "as_of_date": ["features.user_features.as_of_date"],
                "reason": [f"cleaned.{table}.valid_from" for table in ("identities", "users", "items")],
            },
        ),
        **_models(settings),
        **_evaluation(settings),
        SCORES.name: _scores(settings),
        TAGS.name: _tags(settings),
        RECOMMENDATIONS.name: _recommendations(),
        AUDIENCES.name: _audiences(settings),
        INSIGHTS.name: _insights(),
    }


def _lineage(table: Table, sources: Mapping[str, Iterable[str]], *, reads: Iterable[str] = ()) -> Lineage:
    """Put a table's lineage together.

    Parameters
    ----------
    sources
        By column, `<schema>.<table>.<column>` of what it is made of; a column that is left out is made of nothing.
    reads
        Tables that are read and whose values end in no column.
    """
    pairs = {
        name: tuple(sorted({(s.rpartition(".")[0], s.rpartition(".")[2]) for s in sources.get(name, ())}))
        for name in table.column_names
    }
    tables = {*reads, *(source for found in pairs.values() for source, _ in found)}
    return Lineage(tuple(sorted(tables)), pairs)


# ---- models


def _features(settings: Settings, name: str) -> Names:
    """What a model may read of people."""
    model = settings.models[name]
    matrix = user_features_table(settings.features.attributes, has_events=settings.has_events).column_names
    if isinstance(model, SegmentModelSettings):
        return [s for name in model.features or SEGMENT_FEATURES for s in _sources_of(name, matrix)]
    label = model.label if isinstance(model, AttributeModelSettings) else None
    categories = {f"{CATEGORY_PREFIX}{c}=": c for c in settings.features.categories}
    hidden = {*NOT_FEATURES, *forbidden_features([*matrix, *categories], model.leave_out, label)}
    found = [f"features.user_features.{c}" for c in matrix if c not in hidden]
    found += INTERESTS_READ
    found += [_crm(c) for name, c in categories.items() if name not in hidden]
    if isinstance(model, AttributeModelSettings) and ITEM_ALGORITHM in (
        *settings.training.algorithms,
        settings.training.default_algorithm,
    ):
        found += [*ITEMS_DONE, "features.user_item_days.value"]
    return found


def _sources_of(feature: str, matrix: Names) -> Names:
    """Where a feature that is named by itself comes from."""
    if feature.startswith(INTEREST_PREFIX):
        return INTERESTS_READ
    if feature.startswith(CATEGORY_PREFIX):
        return [_crm(feature.removeprefix(CATEGORY_PREFIX).partition("=")[0])]
    return [f"features.user_features.{feature}"] if feature in matrix else []


def _labels(settings: Settings, name: str) -> Names:
    """What a model's label is made of."""
    model = settings.models[name]
    if isinstance(model, AttributeModelSettings):
        return [_crm(model.label.removeprefix(ATTRIBUTE_PREFIX))]
    if isinstance(model, OutcomeModelSettings):
        counts = ["n_events"] if model.happens == "any" else [COUNT_OF_ROLE[role] for role in model.happens]
        return [f"features.user_days.{column}" for column in counts]
    return []


def _times(settings: Settings, name: str) -> Names:
    """What puts a model's rows in order of time, where something does."""
    model = settings.models[name]
    return [_crm(model.time)] if isinstance(model, AttributeModelSettings) and model.time else []


def _crm(column: str) -> str:
    return f"cleaned.users.{column if column in CRM_COLUMNS else 'attributes'}"


def _models(settings: Settings) -> dict[str, Lineage]:
    is_segments = {name: isinstance(m, SegmentModelSettings) for name, m in settings.models.items()}
    rows = {"as_of_date": ["features.user_features.as_of_date"], "profile_id": ["features.user_features.profile_id"]}
    done: dict[str, Lineage] = {}
    for name in settings.models:
        labels, times = _labels(settings, name), _times(settings, name)
        learnt = [*_features(settings, name), *labels, *times]
        sources = dict.fromkeys(("version", "is_chosen", "feature_names", "data_fingerprint", "explanation", "artifact", "artifact_sha256"), learnt) | {
            "algorithm": [] if is_segments[name] else learnt,
            "params": learnt if is_segments[name] else [],
            "n_train": [*rows["profile_id"], *labels, *times],
            "classes": learnt if is_segments[name] else labels,
        }  # fmt: skip
        if not is_segments[name]:
            sources |= dict.fromkeys(("calibration", "reference"), learnt)
        table = model_table(name)
        done[table.name] = _lineage(table, sources, reads=["cleaned.identities", "features.user_days"])

    def of_all(found: Callable[[Settings, str], Names], *, segments: bool) -> list[str]:
        return [s for name in settings.models if is_segments[name] == segments for s in found(settings, name)]

    labels, times = of_all(_labels, segments=False), of_all(_times, segments=False)
    learnt = [*of_all(_features, segments=False), *labels, *times]
    moved = of_all(_features, segments=True)
    always = ["cleaned.identities", "features.user_days"]
    shared = {
        SELECTED_FEATURES: dict.fromkeys(("feature", "importance", "is_kept", "reason"), learnt),
        SEGMENT_TRAITS: dict.fromkeys(
            ("segment", "feature", "mean", "overall_mean", "z_score", "rank", "n_people", "people_share"), moved
        ),
        SEGMENT_MEMBERS: {"profile_id": rows["profile_id"], "segment": moved},
        PREDICTIONS: rows
        | {
            "algorithm": learnt,
            "split": [*rows["profile_id"], *rows["as_of_date"], *times],
            "class": labels,
            "actual": labels,
            "probability": learnt,
        },
    }
    return done | {table.name: _lineage(table, sources, reads=always) for table, sources in shared.items()}


# ---- evaluation


def _evaluation(settings: Settings) -> dict[str, Lineage]:
    said = [f"models.predictions.{c}" for c in ("class", "probability", "actual")]
    segments = [name for name, model in settings.models.items() if isinstance(model, SegmentModelSettings)]
    found = [s for name in segments for s in (f"models.{name}.explanation", f"models.{name}.params")]
    found += ["models.segment_traits.people_share"] if segments else []
    recommended = [*ITEMS_DONE, *HELD]
    values = [*said, *found, *recommended]
    algorithm = ["models.predictions.algorithm", *(f"models.{name}.algorithm" for name in settings.models)]
    classes = [f"models.{name}.classes" for name in settings.models]
    split = ["models.predictions.split"]
    n_rows = ["models.predictions.profile_id"]
    explained = [f"models.{name}.explanation" for name in settings.models if name not in segments]
    parts: dict[Table, dict[str, list[str]]] = {
        METRICS: dict.fromkeys(("value", "ci_low", "ci_high", "baseline", "baseline_value"), values)
        | {
            "split": split,
            "algorithm": algorithm,
            "n_rows": [*n_rows, *(["models.segment_traits.n_people"] if segments else []), *HELD],
        },
        CALIBRATION: dict.fromkeys(("bin", "mean_predicted", "observed_share"), said)
        | {"algorithm": algorithm, "split": split, "class": classes, "n_rows": n_rows},
        CONFUSION: {
            "algorithm": algorithm, "split": split, "actual": [*classes, "models.predictions.actual"],
            "predicted": [*classes, "models.predictions.probability"], "n_rows": n_rows,
        },
        CURVES: dict.fromkeys(("point", "x", "y"), said) | {"algorithm": algorithm, "split": split, "class": classes},
        IMPORTANCE: {"algorithm": algorithm} | dict.fromkeys(("feature", "importance", "rank"), explained),
        GATES: {
            "is_passed": values,
            "reason": [*values, *explained],
            "version": [f"models.{name}.version" for name in settings.models],
        },
    }  # fmt: skip
    reads = [*(f"models.{name}" for name in settings.models), "models.predictions", "models.segment_traits"]
    reads += ["features.user_item_days", "cleaned.identities"]
    return {table.name: _lineage(table, sources, reads=reads) for table, sources in parts.items()}


# ---- profiles


def _scores(settings: Settings) -> Lineage:
    people = {name: [f"features.user_features.{name}"] for name in ("profile_id", "as_of_date")}
    classifiers = [n for n, model in settings.models.items() if not isinstance(model, SegmentModelSettings)]
    read = [s for name in settings.models for s in _features(settings, name)]
    read_by_classifiers = [s for name in classifiers for s in _features(settings, name)]
    scored = [*(f"models.{name}.artifact" for name in settings.models), *read]
    calibrated = [f"models.{name}.{c}" for name in classifiers for c in ("artifact", "calibration")]
    placed = [f"models.{name}.{c}" for name in classifiers for c in ("artifact", "reference")]
    return _lineage(
        SCORES,
        people
        | {
            "class": [*(f"models.{name}.classes" for name in settings.models), *scored],
            "week": [f"models.{name}.week" for name in settings.models],
            "probability": [*calibrated, *read_by_classifiers],
            "score": scored,
            "percentile": [*placed, *read_by_classifiers],
        },
        reads=["evaluation.gates", "cleaned.identities"],
    )


def _tags(settings: Settings) -> Lineage:
    """What the conditions, facts and predictions of `tags:` read."""
    known = set(USER_PROFILES.column_names)
    classifiers = [n for n, model in settings.models.items() if not isinstance(model, SegmentModelSettings)]
    # Of two classes the one that is not told: read of all models, whichever tags there are.
    other = [f"models.{name}.classes" for name in classifiers]
    value: list[str] = []
    evidence: list[str] = []
    confidence: list[str] = []
    for tag in settings.tags.values():
        model = settings.models.get(tag.predicted) if tag.predicted else None
        known_label = model if isinstance(model, AttributeModelSettings) else None
        fact = tag.fact or (known_label.label if known_label else None)
        if fact:
            value.append(f"profiles.user_profiles.{'attributes' if fact.startswith(ATTRIBUTE_PREFIX) else fact}")
        if known_label and not tag.fact and known_label.bands and known_label.label in ("birth_year", "birth_date"):
            value.append("profiles.user_profiles.as_of_date")
        for rule in tag.rules:
            condition = parse_condition(rule.when, RULE_COLUMNS)
            read = [f"{(USER_PROFILES if c in known else BEHAVIOR).name}.{c}" for c in condition.columns]
            read += ["models.population.value"] if condition.quantiles else []
            value += read
            evidence += read
        if tag.predicted:
            is_segments, is_class = tag.predicted not in classifiers, tag.predicted in classifiers and not tag.values
            sure = "score" if is_segments else "probability"
            value += ["profiles.scores.class"] if is_segments or is_class else []
            value += [] if is_segments else ["profiles.scores.probability"]
            value += other if is_class else []
            confidence += [f"profiles.scores.{sure}", *(other if is_class else [])]
            evidence += [
                f"profiles.scores.{c}" for c in ("model", "week", "class", "probability", "score", "percentile")
            ]
            evidence += other if is_class else []
    whose = {
        name: [f"{table}.{name}" for table in ("profiles.user_profiles", "profiles.scores")]
        for name in ("profile_id", "as_of_date", "is_final")
    }
    reads = ["profiles.user_profiles", "features.behavior", "profiles.scores", "models.population"]
    return _lineage(
        TAGS,
        whose | {"value": value, "evidence": evidence, "confidence": confidence},
        reads=[*reads, *(f"models.{name}" for name in classifiers)],
    )


# ---- applications


def _recommendations() -> Lineage:
    people = {name: [f"profiles.user_profiles.{name}"] for name in ("profile_id", "as_of_date")}
    return _lineage(
        RECOMMENDATIONS,
        people
        | {
            "rank": ITEMS_DONE,
            "score": ITEMS_DONE,
            "item_id": [*ITEMS_DONE, "cleaned.items.item_id"],
            "reason": [*ITEMS_DONE, "cleaned.items.title", "cleaned.items.item_id"],
        },
        reads=["cleaned.identities"],
    )


def _audiences(settings: Settings) -> Lineage:
    whose = {name: [f"profiles.user_profiles.{name}"] for name in ("as_of_date", "profile_id", "user_ids")}
    asked = [parse_condition(a.where, settings.tags, has_quantiles=False) for a in settings.audiences.values()]
    # The one filter that is told as a column's source: which audience one is in is nothing else.
    membership = ["profiles.tags.tag", "profiles.tags.value"] if any(c.columns for c in asked) else []
    return _lineage(AUDIENCES, whose | {"audience": membership}, reads=["profiles.tags", "profiles.user_profiles"])


def _insights() -> Lineage:
    members, everybody = "applications.audiences.profile_id", "profiles.tags.profile_id"
    compared = [members, everybody, "profiles.tags.value"]
    return _lineage(
        INSIGHTS,
        {
            "as_of_date": ["applications.audiences.as_of_date"],
            "audience": ["applications.audiences.audience"],
            "tag": ["profiles.tags.tag"],
            "value": ["profiles.tags.value"],
            **dict.fromkeys(("n_people", "tgi", "ci_low", "ci_high", "p_value", "q_value"), compared),
        },
        reads=["profiles.user_profiles"],
    )
