"""What the days of an alias say of its interests, and what they amount to as of a day.

Not here: what else is known as of a day (`snapshots`).
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any

from profile_pipeline.settings import FeatureSettings
from profile_pipeline.verification.values import rounded
from profile_pipeline.verification.versions import version_on

Row = dict[str, Any]
Signal = tuple[dt.date, str, str, Decimal]


def signals_of(
    item_tiles: Iterable[Row],
    term_tiles: Iterable[Row],
    versions: Mapping[str, Sequence[Row]],
    features: FeatureSettings,
) -> list[Signal]:
    """Return (day, kind, interest, weight) of the tiles of an alias: events by the weight of their role."""
    weights = {role: rounded(Decimal(str(weight)), 3) for role, weight in features.role_weights.items()}
    total: dict[tuple[dt.date, str, str], Decimal] = defaultdict(Decimal)
    for tile in item_tiles:
        version = version_on(versions.get(tile["item_id"], ()), tile["event_date"])
        if version is not None and tile["role"] in weights:
            for kind, interest, n in _of_item(tile, version):
                if interest is not None:
                    total[tile["event_date"], kind, interest] += n * weights[tile["role"]]
    for tile in term_tiles:
        if tile["role"] in weights:
            total[tile["event_date"], tile["kind"], tile["term"]] += tile["n"] * weights[tile["role"]]
    return [(*key, weight) for key, weight in total.items()]


def _of_item(tile: Row, item: Row) -> Iterator[tuple[str, str | None, int]]:
    """Yield (kind, interest, events) of a tile: an event that names no category or brand itself counts for its item's."""
    role, n = tile["role"], tile["n"]
    for category in item["categories"] or ():
        yield "category", category, tile["n_uncategorized"]
        if role == "read":
            yield "reading", category, n
        if role == "play" and item["kind"] == "video":
            yield "video", category, n
    if role == "play" and item["kind"] == "music":
        yield "music", item["author"] if item["author"] is not None else "unknown", n
    yield "brand", item["brand"], tile["n_unbranded"]
    yield "author", item["author"], n


class Decay:
    """How much a day still counts after some days: half of it after the half-life, to six places."""

    def __init__(self, half_life_days: int) -> None:
        self.half_life_days = half_life_days
        self._known: dict[int, Decimal] = {}

    def __call__(self, age_days: int) -> Decimal:
        if age_days not in self._known:
            with localcontext() as context:
                context.prec = 60
                weight = Decimal("0.5") ** (Decimal(age_days) / Decimal(self.half_life_days))
            self._known[age_days] = rounded(weight, 6)
        return self._known[age_days]


def interests(
    signals: Iterable[Signal], day: dt.date, decay: Decay, *, per_kind: int
) -> list[tuple[str, str, Decimal, int]]:
    """Return (kind, interest, score, rank) as of a day."""
    scores: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for event_date, kind, interest, weight in signals:
        if event_date <= day:
            scores[kind, interest] += weight * decay((day - event_date).days)
    by_kind: dict[str, list[tuple[Decimal, str]]] = defaultdict(list)
    for (kind, interest), score in scores.items():
        if (told := rounded(score, 6)) > 0:
            by_kind[kind].append((-told, interest))
    return [
        (kind, interest, -negative, rank)
        for kind, of_kind in by_kind.items()
        for rank, (negative, interest) in enumerate(sorted(of_kind)[:per_kind], start=1)
    ]
