"""Comparing what is made of the features of a day: scores, profiles, tags, audiences, recommendations.

Of applications only the newest day can be told: those of past days are what was delivered then, and what they were made of has been
restated since. Not here: what should be there (`scores_again`, `verification`), or features (`verifying`).
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pyarrow as pa

from profile_pipeline.applications.tables import AUDIENCES, RECOMMENDATIONS
from profile_pipeline.orchestration.assets.profiles import other_classes, segment_model, tag_quantiles
from profile_pipeline.orchestration.keeping.behind import Behind
from profile_pipeline.profiles.tables import SCORES, TAGS, USER_PROFILES
from profile_pipeline.settings import Settings
from profile_pipeline.table import Table, quote_identifier
from profile_pipeline.verification.compare import Comparison
from profile_pipeline.verification.deliveries import Recommender, audiences
from profile_pipeline.verification.people import People
from profile_pipeline.verification.profiles import user_profiles
from profile_pipeline.verification.tags import Scored, tags
from profile_pipeline.warehouse.duckdb import Warehouse

Row = dict[str, Any]

# What similarities of items may cost in Python: above it recommendations are not computed again.
MOST_PRODUCTS = 30_000_000
TOLD_SCORES = 100
_SAID = ("week", "probability", "score", "percentile")
_HELD = (
    "cleaned.identities as i on i.alias_id = t.alias_id and i.valid_from <= $day and (i.valid_to is null or i.valid_to > $day)"
    " where t.event_date <= $day and t.event_date > $after"
)


@dataclass
class ProfilesAgain:
    """What is made of the features of a day, for people whose features were computed again.

    Attributes
    ----------
    compare
        Compares rows of a table: table, rows that should be there, condition, columns.
    left_out
        What can't be compared, in words.
    """

    w: Warehouse
    settings: Settings
    behind: Behind
    comparison: Comparison
    left_out: set[str]
    compare: Callable[[Table, Iterable[Row], str, Sequence[str]], None]

    def compare_day(self, people: People, day: dt.date, snapshot: dict[str, list[Row]], on_day: str) -> None:
        """Compare a day whose profiles were built.

        Parameters
        ----------
        snapshot
            What should be there of the features.
        on_day
            The condition for rows of these people on the day.
        """
        scores = self._scores(people, day, snapshot)
        of_people = [row for row in scores if row["profile_id"] in people.profile_ids]
        segments = {
            row["profile_id"]: row["class"] for row in of_people if row["model"] == segment_model(self.settings)
        }
        profiles = user_profiles(people, day, snapshot, segments)
        # Whether a day was final says when it was built, and nothing of the person.
        self.compare(USER_PROFILES, profiles, on_day, [n for n in USER_PROFILES.column_names if n != "is_final"])
        of_behavior = {row["profile_id"]: row for row in snapshot["features.behavior"]}
        told, unknown = tags(people, day, profiles, of_behavior, self._scored(day, of_people))
        names = [name for name in TAGS.column_names if name != "is_final"]
        self.compare(TAGS, told, f"{on_day} and {_but('tag', unknown)}", names)
        self._leave_out("the tag", unknown)
        if not self._is_delivered(day):
            return
        members, strange = audiences(self.settings, day, profiles, told, but=unknown)
        self.compare(AUDIENCES, members, f"{on_day} and {_but('audience', strange)}", ())
        self._leave_out("the audience", strange)
        self._recommendations(people, day, {row["profile_id"] for row in profiles}, on_day)

    def _leave_out(self, what: str, names: set[str]) -> None:
        self.left_out |= {f"{what} {name}: its condition is evaluated by the engine only" for name in names}

    def _is_delivered(self, day: dt.date) -> bool:
        """Say whether it is the newest day, and its applications were built."""
        profiles, lists = (
            self.w.scalar(f"select max(as_of_date) from {t.name}") for t in (USER_PROFILES, RECOMMENDATIONS)
        )
        if day == profiles and lists is not None and lists < day:
            self.left_out.add(f"applications of {day} are not built yet: profile-pipeline run")
        # Where nothing can be recommended to anybody there are no lists at all.
        return bool(day == profiles and lists in (day, None))

    def _scores(self, people: People, day: dt.date, snapshot: dict[str, list[Row]]) -> list[Row]:
        """Compare the scores of everybody; return what they should be."""
        if not self.settings.models:
            return []
        # Here and not above: what it brings along would be loaded by every process that lists assets.
        from profile_pipeline.orchestration.verifying.scores_again import scores_again

        again = scores_again(self.w, self.settings, day, people, snapshot)
        if not self.behind.covers(SCORES.name, day):
            self._compare_scores(day, again)
        keep = pa.array(
            [profile_id in people.profile_ids for profile_id in again.column("profile_id").to_pylist()], pa.bool_()
        )
        rows: list[Row] = again.filter(keep).to_pylist()
        return rows

    def _compare_scores(self, day: dt.date, again: pa.Table) -> None:
        self.w.temporary("scores_again", again)
        unlike = " or ".join(f"a.{name} is distinct from t.{name}" for name in _SAID)
        sides = ", ".join(f"{side}.{name}" for side in ("t", "a") for name in _SAID)
        differing = self.w.rows(
            f"with t as (select *, true as is_there from {SCORES.name} where as_of_date = $day), a as (select *, true as is_made from scores_again)"
            f" select profile_id, model, class, is_there, is_made, {sides} from a full join t using (profile_id, model, class)"
            f" where is_there is null or is_made is null or {unlike} order by 1, 2, 3 limit {TOLD_SCORES}",
            {"day": day},
        )
        self.w.drop("scores_again")
        found, expected = [], []
        for profile_id, model, of_class, is_there, is_made, *values in differing:
            key = {"as_of_date": day, "profile_id": profile_id, "model": model, "class": of_class}
            if is_there:
                found.append(key | dict(zip(_SAID, values[: len(_SAID)], strict=True)))
            if is_made:
                expected.append(key | dict(zip(_SAID, values[len(_SAID) :], strict=True)))
        said = replace(SCORES, columns=tuple(column for column in SCORES.columns if column.name != "is_final"))
        self.comparison.compare(said, found=found, expected=expected)
        self.comparison.n_rows[SCORES.name] += again.num_rows - len(expected)
        self.comparison.n_cells[SCORES.name] += (again.num_rows - len(expected)) * len(_SAID)

    def _scored(self, day: dt.date, rows: list[Row]) -> Scored:
        by_model: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in rows:
            by_model[row["profile_id"], row["model"]].append(row)
        (quantiles,) = tag_quantiles(self.w, self.settings, [day]).drop_columns(["as_of_date"]).to_pylist() or ({},)
        others = other_classes(self.w, self.settings).to_pylist()
        return Scored(
            by_model,
            {(row["model"], row["week"]): row["class"] for row in others},
            {name.partition(":")[2]: value for name, value in quantiles.items()},
        )

    def _recommendations(self, people: People, day: dt.date, profile_ids: set[str], on_day: str) -> None:
        options = self.settings.recommendations
        within = {"day": day, "after": day - dt.timedelta(days=options.window_days)}
        n_products = self.w.scalar(
            "select coalesce(sum(n * n), 0) from (select count(distinct t.item_id) as n from features.user_item_days as t"
            f" join {_HELD} group by i.profile_id)",
            within,
        )
        if n_products > MOST_PRODUCTS:
            self.left_out.add(f"recommendations: {n_products:,} products of weights are too many to be computed here")
            return
        roles = {role: Decimal(repr(float(weight))) for role, weight in self.settings.features.role_weights.items()}
        weights: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for person, item, role, n in self.w.rows(
            f"select i.profile_id, t.item_id, t.role, cast(sum(t.n) as bigint) from features.user_item_days as t join {_HELD} group by all",
            within,
        ):
            weights[person, item] += n * roles.get(role, Decimal(0))
        titles = dict(
            self.w.rows(
                "select item_id, coalesce(title, item_id) from cleaned.items where valid_from <= $day and (valid_to is null or valid_to > $day)",
                {"day": day},
            )
        )
        of_pairs = ((person, item, float(weight)) for (person, item), weight in weights.items() if weight > 0)
        recommender = Recommender(of_pairs, titles, options)
        found = [
            {
                "as_of_date": day, "profile_id": profile.profile_id, "rank": rank, "item_id": item, "score": score, "reason": reason,
            }
            for profile in people.profiles_on(day)
            if profile.profile_id in profile_ids
            for rank, (item, score, reason) in enumerate(
                recommender.recommended(profile.profile_id, bought=people.bought_by(profile, day)), start=1
            )
        ]  # fmt: skip
        self.compare(RECOMMENDATIONS, found, on_day, ())


def _but(column: str, names: set[str]) -> str:
    listed = ", ".join("'" + name.replace("'", "''") + "'" for name in sorted(names))
    return f"{quote_identifier(column)} not in ({listed})" if names else "true"
