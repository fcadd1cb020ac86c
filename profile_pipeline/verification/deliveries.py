"""Who should be in which audience, and which items should be recommended to whom, without the engine and without matrices.

Not here: tags, or the tables of what everybody did with items, which are read for it.
"""

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from profile_pipeline.profiles.conditions import parse_condition
from profile_pipeline.settings import RecommendationSettings, Settings
from profile_pipeline.verification.conditions import NotEvaluatedError, is_true

Row = dict[str, Any]

PLACES = 12


def audiences(
    settings: Settings, day: dt.date, profiles: Iterable[Row], tags: Iterable[Row], *, but: Collection[str]
) -> tuple[list[Row], set[str]]:
    """Return the rows of `applications.audiences` of a day, and the audiences that can't be evaluated here.

    Parameters
    ----------
    profiles, tags
        What should be there of `profiles.user_profiles` and `profiles.tags`.
    but
        Tags that are not known here.
    """
    by_profile: dict[str, Row] = defaultdict(lambda: dict.fromkeys(settings.tags))
    for row in tags:
        by_profile[row["profile_id"]][row["tag"]] = row["value"]
    people, found, left_out = list(profiles), [], set()
    for name, audience in settings.audiences.items():
        condition = parse_condition(audience.where, settings.tags, has_quantiles=False)
        try:
            if set(condition.columns) & set(but):
                raise NotEvaluatedError(f"{name} reads a tag that is not evaluated")
            members = [person for person in people if is_true(condition, by_profile[person["profile_id"]])]
        except NotEvaluatedError:
            left_out.add(name)
            continue
        found += [
            {"as_of_date": day, "audience": name, "profile_id": p["profile_id"], "user_ids": p["user_ids"]}
            for p in members
        ]
    return found, left_out


class Recommender:
    """Items like those a person was occupied with: cosine with shrinkage, of each item its nearest.

    Parameters
    ----------
    weights
        What everybody did with items within the window: (person, item, weight above 0), one row of each.
    titles
        The catalogue of the day, by item; empty: there is none, and everything can be shown.
    """

    def __init__(
        self, weights: Iterable[tuple[str, str, float]], titles: Mapping[str, str], settings: RecommendationSettings
    ) -> None:
        self.settings, self.titles = settings, titles
        rows = sorted(weights)
        damped = np.log1p(np.array([weight for *_, weight in rows], dtype=float)).tolist()
        self._of_person: dict[str, list[tuple[str, float]]] = defaultdict(list)
        self._of_item: dict[str, list[tuple[str, float]]] = defaultdict(list)
        for (person, item, _), weight in zip(rows, damped, strict=True):
            self._of_person[person].append((item, weight))
            self._of_item[item].append((person, weight))
        self._norms = {item: math.sqrt(sum(w * w for _, w in of_item)) for item, of_item in self._of_item.items()}
        self._nearest: dict[str, dict[str, float]] = {}
        popular = sorted(self._of_item, key=lambda item: (-len(self._of_item[item]), item))
        self._popular = [item for item in popular if self._is_shown(item)]

    @property
    def n_products(self) -> int:
        """How many products of weights all items together need."""
        return sum(len(items) ** 2 for items in self._of_person.values())

    def _is_shown(self, item: str) -> bool:
        return not self.titles or item in self.titles

    def recommended(self, person: str, *, bought: Set[str]) -> list[tuple[str, float, str]]:
        """Return (item, score, reason) for a person, best first."""
        if not self._of_item:
            return []
        own = dict(self._of_person.get(person, ()))
        scores: dict[str, float] = {}
        for item in sorted(
            {other for mine in own for who, _ in self._of_item[mine] for other, _ in self._of_person[who]}
        ):
            if item not in bought and self._is_shown(item):
                nearest = self._nearest_of(item)
                scores[item] = sum((weight * nearest[mine] for mine, weight in own.items() if mine in nearest), 0.0)
        names = list(scores)
        rounded = np.round(np.array([scores[item] for item in names], dtype=float), PLACES).tolist()
        best = sorted((-score, item) for item, score in zip(names, rounded, strict=True) if score > 0)
        shown = [(item, -negative, self._reason(item, own)) for negative, item in best[: self.settings.per_person]]
        taken = {item for item, *_ in shown} | bought
        fill = (item for item in self._popular if item not in taken)
        popular = f"popular in the last {self.settings.window_days} days"
        return shown + [
            (item, 0.0, popular) for item, _ in zip(fill, range(self.settings.per_person - len(shown)), strict=False)
        ]

    def _reason(self, item: str, own: Mapping[str, float]) -> str:
        nearest = self._nearest_of(item)
        # The first of equals, in the order of their ids.
        cause = max(sorted(nearest), key=lambda mine: own.get(mine, 0.0) * nearest[mine])
        return f"because of {self.titles.get(cause, cause)} ({cause})"

    def _nearest_of(self, item: str) -> dict[str, float]:
        """Return the items nearest to an item, with their similarity."""
        if item not in self._nearest:
            dots: dict[str, float] = defaultdict(float)
            for person, weight in self._of_item[item]:
                for other, of_other in self._of_person[person]:
                    dots[other] += of_other * weight
            del dots[item]
            norm = self._norms[item]
            similar = [
                (other, dot / (self._norms[other] * norm + self.settings.shrinkage)) for other, dot in dots.items()
            ]
            self._nearest[item] = dict(self._first(sorted(similar)))
        return self._nearest[item]

    def _first(self, similar: Sequence[tuple[str, float]]) -> Sequence[tuple[str, float]]:
        if len(similar) <= self.settings.neighbours:
            return similar
        rounded = np.round(np.array([value for _, value in similar]), PLACES).tolist()
        order = sorted(range(len(similar)), key=lambda i: (-rounded[i], similar[i][0]))
        return [similar[i] for i in sorted(order[: self.settings.neighbours])]
