"""Score what was built from the synthetic world against its truth, with the ceiling of each promise beside what was reached.

Run by `make score` on the demo and by the end-to-end test on the small world. Not here: anything that the pipeline reads; the truth
stays on this side.

A ceiling is what nobody could do better than who sees the same traces. For churn it is the posterior of an observer who knows the
world's parameters, each person's segment and day of arrival, but of their rate and of their leaving only what the visits tell.
"""

import argparse
import datetime as dt
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, f1_score, normalized_mutual_info_score, roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.preprocessing import OneHotEncoder

from profile_pipeline.models.labels import banded
from profile_pipeline.orchestration.configuration import load_checked
from profile_pipeline.paths import Paths
from profile_pipeline.profiles.conditions import parse_condition
from profile_pipeline.raw.world.days import DECLINE_DAYS, WEEKDAYS
from profile_pipeline.raw.world.people import SEGMENTS
from profile_pipeline.settings import AttributeModelSettings, Settings

SEED, N_RESAMPLES, HORIZON_DAYS = 0, 200, 14
IRRELEVANT_TAG = "birth_month"


@dataclass(frozen=True)
class Promise:
    """What was promised of the world, what was found, and how well anybody could do; `is_kept` is None where nothing was promised."""

    name: str
    found: str
    needed: str
    ceiling: str
    is_kept: bool | None


class Scored:
    """A finished world: the warehouse with the truth beside it, read only."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        self.settings = settings
        self.connection = duckdb.connect(str(paths.warehouse), read_only=True)
        for path in sorted(paths.truth.glob("*.parquet")):
            self.connection.execute(f"create temp view truth_{path.stem} as select * from read_parquet('{path}')")
        self.newest: dt.date = self.rows("select max(as_of_date) from profiles.user_profiles")[0][0]

    def rows(self, sql: str, **parameters: object) -> list[tuple]:
        return self.connection.execute(sql, parameters).fetchall()

    def columns(self, sql: str, **parameters: object) -> dict[str, np.ndarray]:
        """Return columns as arrays; dates as datetime64, text as objects."""
        return self.connection.execute(sql, parameters).fetchnumpy()


def score(paths: Paths, settings: Settings) -> list[Promise]:
    """Return all promises of a finished world."""
    scored = Scored(paths, settings)
    try:
        parts: list[Callable[[Scored], Iterable[Promise]]] = [identity, churn, attributes, segments, ranking, insights]
        return [promise for part in parts for promise in part(scored)]
    finally:
        scored.connection.close()


# ---- who is who

PAIRS = """
    with seen as (select alias_id, profile_id from cleaned.identities where valid_to is null),
    owned as (select alias_id, pid, count(*) over (partition by alias_id) as n_owners from truth_aliases),
    found as (select a.alias_id as one, b.alias_id as other from seen as a join seen as b on a.profile_id = b.profile_id and a.alias_id < b.alias_id),
    true_pairs as (select distinct a.alias_id as one, b.alias_id as other from owned as a join owned as b on a.pid = b.pid and a.alias_id < b.alias_id),
    signed_in as (
        select alias_id from seen where alias_id like 'user:%'
        union select 'anonymous:' || anonymous_id from raw.events where user_id is not null
        union select 'device:' || device_id from raw.events where user_id is not null
    ),
    certain as (select owned.alias_id from owned semi join seen using (alias_id) semi join signed_in using (alias_id) where n_owners = 1),
    wanted as (select one, other from true_pairs semi join certain as a on a.alias_id = one semi join certain as b on b.alias_id = other)
    select (select count(*) from found), (select count(*) from found semi join true_pairs using (one, other)),
        (select count(*) from wanted), (select count(*) from wanted semi join found using (one, other))
"""


def identity(scored: Scored) -> Iterable[Promise]:
    """Pairs of aliases at the last day: how many found are one person's, how many of those that can be known are found."""
    n_found, n_right, n_wanted, n_recalled = scored.rows(PAIRS)[0]
    precision, recall = n_right / max(1, n_found), n_recalled / max(1, n_wanted)
    yield Promise(
        "identity, precision of alias pairs", f"{precision:.4f} of {n_found:,}", ">= 0.99", "1", precision >= 0.99
    )
    yield Promise("identity, recall of alias pairs", f"{recall:.4f} of {n_wanted:,}", ">= 0.95", "1", recall >= 0.95)


# ---- who will leave

CHURN = """
    with held as (
        select identities.profile_id, identities.alias_id from cleaned.identities as identities
        where valid_from <= $as_of and (valid_to is null or valid_to > $as_of)
    ),
    owner as (select held.profile_id, min(aliases.pid) as pid from held join truth_aliases as aliases using (alias_id) group by held.profile_id)
    select p.profile_id, p.probability, p.actual = 'churn' as has_left, people.segment, people.arrival_day, absence.p_absent
    from models.predictions as p
    join models.churn as m on m.week = p.week and m.algorithm = p.algorithm and m.is_chosen
    join owner on owner.profile_id = p.profile_id join truth_people as people on people.pid = owner.pid
    join truth_absence as absence on absence.pid = owner.pid and absence.as_of_date = p.as_of_date
    where p.model = 'churn' and p.split = 'future' and p.week = $week and p.as_of_date = $as_of order by p.profile_id
"""
VISITS = """
    select held.profile_id, date_diff('day', $start, tiles.event_date) as day, sum(tiles.n_sessions) as n_visits
    from features.user_days as tiles join cleaned.identities as held on held.alias_id = tiles.alias_id
        and held.valid_from <= $as_of and (held.valid_to is null or held.valid_to > $as_of)
    where tiles.event_date <= $as_of group by all
"""


def churn(scored: Scored) -> Iterable[Promise]:
    """Churn on the newest closed cohort beside the observer's posterior, which is the best that anybody could do."""
    found = scored.rows(
        "select week, max(as_of_date) from models.predictions where model = 'churn' and split = 'future' group by week order by week desc limit 1"
    )
    if not found:
        yield Promise("churn, share of the best possible", "no model", ">= 0.9", "", False)
        return
    week, as_of = found[0]
    start = scored.settings.calendar.start
    people = scored.columns(CHURN, week=week, as_of=as_of)
    place = {profile: i for i, profile in enumerate(people["profile_id"])}
    n_days = (as_of - start).days + 1
    visits = np.zeros((len(place), n_days))
    for profile, day, n in scored.rows(VISITS, start=start, as_of=as_of):
        if profile in place:
            visits[place[profile], day] = float(n)
    best = np.array([
        chance_of_absence(v, segment, int(arrival), start=start)
        for v, segment, arrival in zip(visits, people["segment"], people["arrival_day"], strict=True)
    ])  # fmt: skip
    has_left = np.asarray(people["has_left"], dtype=bool)
    reached, ceiling = roc_auc_score(has_left, people["probability"]), roc_auc_score(has_left, best)
    knowing = roc_auc_score(has_left, people["p_absent"])
    share = (reached - 0.5) / (ceiling - 0.5)
    yield Promise(
        "churn, share of the best possible ROC-AUC above 0.5",
        f"{share:.3f} (ROC-AUC {reached:.4f}, {len(has_left):,} people)",
        ">= 0.9",
        f"{ceiling:.4f}; {knowing:.4f} for one who sees into people",
        share >= 0.9,
    )


def chance_of_absence(visits: np.ndarray, segment: str, arrival_day: int, *, start: dt.date) -> float:
    """Return the posterior chance of no visit in the horizon after the last of some days.

    Parameters
    ----------
    visits
        Shape (n_days,): visits by day since `start`.
    arrival_day
        Number of the day on which the person came.
    """
    rate, hazard = next((row[2], row[-1] * 1.4) for row in SEGMENTS if row[0] == segment)
    normal = np.linspace(-3, 3, 31)
    rates, prior_of_rate = rate * np.exp(0.75 * normal - 0.28), -(normal**2) / 2
    n_days = len(visits)
    stays = np.arange(10, max(n_days + 120 - arrival_day, 20))
    prior_of_stay = np.log(np.exp(-(stays - 10) * hazard) * np.where(stays == stays[-1], 1, 1 - math.exp(-hazard)))
    days = np.arange(n_days + HORIZON_DAYS)
    leaves = arrival_day + stays[:, None]
    strength = np.where(
        days >= leaves - DECLINE_DAYS, 0.12 + 0.88 * np.clip(leaves - days, 0, DECLINE_DAYS) / DECLINE_DAYS, 1.0
    )
    # Not quite zero: a profile can hold someone else's visit, which would make the observer's world impossible.
    strength = np.where((days >= leaves) | (days < arrival_day), 1e-6, strength)
    weekday = np.array([WEEKDAYS[(start + dt.timedelta(days=int(d))).weekday()] for d in days])
    expected = strength * weekday
    past, coming = expected[:, :n_days], expected[:, n_days:].sum(axis=1)
    came = visits > 0
    likelihood = (np.log(past[:, came]) * visits[came]).sum(axis=1)[:, None] + visits.sum() * np.log(rates)
    log_posterior = likelihood - past.sum(axis=1)[:, None] * rates + prior_of_stay[:, None] + prior_of_rate
    posterior = np.exp(log_posterior - log_posterior.max())
    return float((posterior * np.exp(-coming[:, None] * rates)).sum() / posterior.sum())


# ---- what people are

BLANK = """
    with owner as (
        select held.profile_id, min(aliases.pid) as pid from cleaned.identities as held join truth_aliases as aliases using (alias_id)
        where held.valid_to is null group by held.profile_id having count(distinct aliases.pid) = 1
    )
    select scores.profile_id, scores.class, scores.probability, cast({label} as varchar) as actual, owner.pid
    from profiles.scores as scores join owner using (profile_id) join truth_people as people using (pid)
    join profiles.user_profiles as profile on profile.profile_id = scores.profile_id and profile.as_of_date = scores.as_of_date
    where scores.as_of_date = $day and scores.model = $model and profile.{column} is null order by scores.profile_id, scores.class
"""


def attributes(scored: Scored) -> Iterable[Promise]:
    """Gender and age of people of whom the CRM knows neither, beside what their true tastes would tell."""
    for name, model in scored.settings.models.items():
        if isinstance(model, AttributeModelSettings):
            yield _attribute(scored, name, model)


def _attribute(scored: Scored, name: str, model: AttributeModelSettings) -> Promise:
    bands = model.bands or ()
    label = banded(f"({scored.newest.year} - people.birth_year)", bands) if bands else f"people.{model.label}"
    told = scored.rows(BLANK.format(label=label, column=model.label), day=scored.newest, model=name)
    if not told:
        return Promise(f"{name} of people with a blank CRM", "no model that passed its gate", "a model", "", False)
    actual = {profile: (truth, pid) for profile, _, _, truth, pid in told}
    people = sorted(actual)
    truth = np.array([actual[p][0] for p in people])
    classes = sorted({c for _, c, _, _, _ in told} | set(truth.tolist()))
    chances = np.zeros((len(people), len(classes)))
    place, column = {p: i for i, p in enumerate(people)}, {c: i for i, c in enumerate(classes)}
    for profile, label_told, probability, _, _ in told:
        chances[place[profile], column[label_told]] = probability
    if len(classes) == 2:
        chances[:, 0] = 1 - chances[:, 1]
    most = max(classes, key=lambda c: (truth == c).sum())

    def quality(p: np.ndarray, y: np.ndarray) -> float:
        if len(classes) == 2:
            return float(roc_auc_score(y == classes[1], p[:, 1]))
        return float(f1_score(y, np.array(classes)[p.argmax(axis=1)], average="macro", zero_division=0))

    rng = np.random.default_rng(SEED)
    resamples = [rng.integers(0, len(people), len(people)) for _ in range(N_RESAMPLES)]
    low, high = np.quantile([quality(chances[r], truth[r]) for r in resamples], [0.025, 0.975])
    baseline = (
        0.5 if len(classes) == 2 else float(f1_score(truth, [most] * len(people), average="macro", zero_division=0))
    )
    tastes = {
        pid: (a, b)
        for pid, a, b in scored.rows(
            "select pid, list([first, second, third]) filter (where is_product) [1], list([first, second, third]) filter (where not is_product) [1] from truth_tastes group by pid"
        )
    }
    shown = np.array([[*tastes[actual[p][1]][0], *tastes[actual[p][1]][1]] for p in people])
    hot = OneHotEncoder(handle_unknown="ignore").fit_transform(shown)
    best = cross_val_predict(LogisticRegression(C=0.5, max_iter=1000), hot, truth, cv=5, method="predict_proba")
    metric = "ROC-AUC" if len(classes) == 2 else "macro F1"
    return Promise(
        f"{name} of {len(people):,} people with a blank CRM, {metric}",
        f"{quality(chances, truth):.3f} [{low:.3f}, {high:.3f}]",
        f"interval above {baseline:.3f}, the majority's",
        f"{quality(best, truth):.3f} from true tastes",
        bool(low > baseline),
    )


# ---- what they are like

SEGMENTED = """
    with owner as (
        select held.profile_id, min(aliases.pid) as pid from cleaned.identities as held join truth_aliases as aliases using (alias_id)
        where held.valid_to is null group by held.profile_id having count(distinct aliases.pid) = 1
    )
    select profile.profile_id, profile.segment, people.segment as actual, f.* exclude (profile_id, as_of_date)
    from profiles.user_profiles as profile join owner using (profile_id) join truth_people as people using (pid)
    join features.user_features as f on f.profile_id = profile.profile_id and f.as_of_date = profile.as_of_date
    where profile.as_of_date = $day and profile.segment is not null order by profile.profile_id
"""


def segments(scored: Scored) -> Iterable[Promise]:
    """Segments beside the planted ones, and beside what a model that is told the planted ones makes of the same features."""
    found = scored.columns(SEGMENTED, day=scored.newest)
    if not len(found["profile_id"]):
        yield Promise(
            "segments, agreement with the planted ones", "no model that passed its gate", "a model", "", False
        )
        return
    actual = found.pop("actual").astype(str)
    segment = found.pop("segment").astype(str)
    del found["profile_id"]
    values = np.column_stack([np.ma.filled(np.ma.asarray(c).astype(float), np.nan) for c in found.values()])
    taught = cross_val_predict(HistGradientBoostingClassifier(max_iter=60, random_state=SEED), values, actual, cv=3)
    rand, mutual = adjusted_rand_score(actual, segment), normalized_mutual_info_score(actual, segment)
    rng = np.random.default_rng(SEED)
    chance = max(adjusted_rand_score(actual, rng.permutation(segment)) for _ in range(N_RESAMPLES))
    yield Promise(
        "segments, agreement with the planted ones",
        f"adjusted Rand {rand:.3f}, mutual information {mutual:.3f}",
        f"adjusted Rand above {chance:.3f}, the best of {N_RESAMPLES} shuffles",
        f"{adjusted_rand_score(actual, taught):.3f}, {normalized_mutual_info_score(actual, taught):.3f} for one who is taught them",
        bool(rand > chance),
    )


# ---- what is recommended and told


def ranking(scored: Scored) -> Iterable[Promise]:
    """Item-kNN beats popularity outside the interval, in the newest week."""
    rows = scored.rows(
        "select value, ci_low, ci_high, baseline, baseline_value from evaluation.metrics where model = 'recommendations' and metric = 'recall@10' and algorithm = 'item_knn'"
        " order by week desc limit 1"
    )
    for value, low, high, baseline, baseline_value in rows:
        yield Promise(
            "item-kNN, recall@10", f"{value:.3f} [{low:.3f}, {high:.3f}]", f"interval above {baseline_value:.3f} of {baseline}", "", low > baseline_value
        )  # fmt: skip


def insights(scored: Scored) -> Iterable[Promise]:
    """The planted tag says nothing of any audience, what defines an audience does.

    The tag is judged as a whole, by its least p times its number of values: over the rows of an audience Benjamini-Hochberg lets one
    in twenty discoveries be false, and with many true ones that is now and then a month.
    """
    rows = scored.rows(
        "select audience, tag, value, tgi, p_value, q_value from applications.insights where as_of_date = $day",
        day=scored.newest,
    )
    by_audience: Mapping[str, list[tuple]] = {
        audience: list(group) for audience, group in itertools.groupby(sorted(rows), key=lambda row: row[0])
    }
    months = {
        audience: min(
            1.0, min(r[4] for r in group if r[1] == IRRELEVANT_TAG) * sum(r[1] == IRRELEVANT_TAG for r in group)
        )
        for audience, group in by_audience.items()
        if any(r[1] == IRRELEVANT_TAG for r in group)
    }
    n_rows = sum(r[1] == IRRELEVANT_TAG for r in rows)
    n_false = sum(r[1] == IRRELEVANT_TAG and r[5] < 0.05 for r in rows)
    yield Promise(
        f"{IRRELEVANT_TAG} tells nothing of {len(months)} audiences",
        f"least p x values {min(months.values(), default=1):.3f}; {n_false} of {n_rows} rows with q < 0.05",
        "least p x values >= 0.05",
        "",
        bool(months) and min(months.values()) >= 0.05,
    )
    for audience, group in by_audience.items():
        condition = parse_condition(
            scored.settings.audiences[audience].where, scored.settings.tags, has_quantiles=False
        )
        told = max((r for r in group if r[1] in condition.columns), key=lambda r: r[3])
        yield Promise(
            f"{audience} is told by what defines it",
            f"{told[1]} = {told[2]}: TGI {told[3]:.0f}, q {told[5]:.1g}",
            "TGI > 100, q < 0.05",
            "",
            bool(told[3] > 100 and told[5] < 0.05),
        )


def main() -> int:
    """Print all promises; the status is 1 if one is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="data folder of a finished demo; else PROFILE_PIPELINE_DATA, else ./data"
    )
    paths = Paths.from_environment(data=parser.parse_args().data)
    promises = score(paths, load_checked(paths))
    table = Table(
        "promise", "found", "needed", "ceiling", "", title="the world against its truth", title_justify="left"
    )
    for p in promises:
        verdict = {True: "[green]kept[/]", False: "[red]broken[/]", None: "told"}[p.is_kept]
        table.add_row(p.name, p.found, p.needed, p.ceiling, verdict)
    Console(width=None if sys.stdout.isatty() else 180).print(table)
    return 1 if any(p.is_kept is False for p in promises) else 0


if __name__ == "__main__":
    sys.exit(main())
