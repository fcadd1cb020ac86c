"""All that should be there of some people: every table from judged events to profiles, from their records alone.

Not here: each table's own rules (the modules beside), reading records, or what is there (`compare`).
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from profile_pipeline.features.matrix import attribute_column
from profile_pipeline.settings import Settings
from profile_pipeline.verification import interests, snapshots, tiles, versions
from profile_pipeline.verification.identities import Histories
from profile_pipeline.verification.judging import Address, CleanEvent
from profile_pipeline.verification.sessions import cut
from profile_pipeline.verification.values import number_of, profile_of, text_in

Row = dict[str, Any]


@dataclass(frozen=True)
class Profile:
    """A profile as of a day.

    Attributes
    ----------
    head
        The highest of its aliases, of which its id is made.
    """

    profile_id: str
    head: str
    aliases: tuple[str, ...]


class People:
    """What should be there of some aliases and of the profiles that they make up.

    Parameters
    ----------
    aliases
        Those looked at. Of them everything is known: each event that names one, and whole streams.
    streams
        Those of which all events are known.
    heads
        The aliases whose profiles are wholly known.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        key: str,
        aliases: set[str],
        streams: set[str],
        heads: set[str],
        events: Iterable[CleanEvent],
        addresses: Iterable[Address],
        user_records: Iterable[Row],
        item_records: Iterable[Row],
    ) -> None:
        self.settings, self.key, self.aliases, self.heads = settings, key, aliases, heads
        self.events, self.addresses = list(events), list(addresses)
        self.users = versions.users(user_records, settings)
        self.items = versions.items(item_records, settings)
        self.sessions, self.session_days = cut(e for e in self.events if e.stream_id in streams)
        of_aliases = [e for e in self.events if e.alias_id in aliases]
        self.user_days = tiles.user_days(of_aliases, self.session_days, settings.calendar.timezone)
        self.user_item_days = tiles.user_item_days(of_aliases)
        self.user_term_days = tiles.user_term_days(of_aliases)
        self._decay = interests.Decay(settings.features.interest_half_life_days)
        self._days_of, self._items_of, self._terms_of = (
            versions.by_key(rows, "alias_id") for rows in (self.user_days, self.user_item_days, self.user_term_days)
        )
        self._signals: dict[str, list[interests.Signal]] = {}

    @cached_property
    def histories(self) -> Histories:
        known: dict[str, dt.date] = {}
        if not self.settings.has_events:
            for row in self.users:
                alias = f"user:{row['user_id']}"
                known[alias] = min(row["valid_from"], known.get(alias, row["valid_from"]))
        return Histories(self.aliases, self.events, self.addresses, known, key=self.key)

    @cached_property
    def _versions_of_users(self) -> Mapping[str, Sequence[Row]]:
        return versions.by_key(self.users, "user_id")

    @cached_property
    def _versions_of_items(self) -> Mapping[str, Sequence[Row]]:
        return versions.by_key(self.items, "item_id")

    @cached_property
    def profile_ids(self) -> set[str]:
        """The ids of the profiles that are wholly known, whenever they stood."""
        return {profile_of(head, self.key) for head in self.heads}

    def profiles_on(self, day: dt.date) -> list[Profile]:
        """Return the profiles that are wholly known, as they stood at the end of a day."""
        return [
            Profile(profile_of(head, self.key), head, tuple(sorted(aliases)))
            for head, aliases in self.histories.aliases_on(day).items()
            if head in self.heads
        ]

    def snapshot(self, day: dt.date) -> dict[str, list[Row]]:
        """Return the rows of a day by table of features."""
        found: dict[str, list[Row]] = {
            f"features.{name}": [] for name in ("behavior", "interests", "demand", "user_features")
        }
        for profile in self.profiles_on(day):
            named = {"profile_id": profile.profile_id, "as_of_date": day}
            if not self.settings.has_events:
                if self.crm_of(profile, day):
                    found["features.user_features"].append(named | self._attributes(profile, day))
                continue
            user_days = _rows_of(self._days_of, profile)
            behavior = snapshots.behavior(user_days, day, activity_days=self.settings.activity_days)
            if behavior is None:
                continue
            demand = snapshots.demand(behavior, user_days, _rows_of(self._items_of, profile), day)
            liked = self._interests(profile, day)
            found["features.behavior"].append(named | behavior)
            found["features.demand"].append(named | demand)
            found["features.interests"] += [
                named | dict(zip(("kind", "interest", "score", "rank"), row, strict=True)) for row in liked
            ]
            n_categories = sum(kind == "category" for kind, *_ in liked)
            matrix = snapshots.matrix(behavior, demand, n_categories, self._attributes(profile, day))
            found["features.user_features"].append(named | matrix)
        return found

    def crm_of(self, profile: Profile, day: dt.date) -> list[Row]:
        """Return what the CRM says of the users whom a profile holds, in the order of their ids."""
        user_ids = sorted(alias.removeprefix("user:") for alias in profile.aliases if alias.startswith("user:"))
        found = (versions.version_on(self._versions_of_users.get(user_id, ()), day) for user_id in user_ids)
        return [version for version in found if version is not None]

    def categories_of(self, profile: Profile, day: dt.date) -> dict[str, str]:
        """Return what the CRM says in the columns that models read as categories; of several users the least."""
        crm = self.crm_of(profile, day)
        found = {
            column: sorted(text for row in crm if (text := known_text(row, column)) is not None)
            for column in self.settings.features.categories
        }
        return {column: texts[0] for column, texts in found.items() if texts}

    def occupied_with(self, profile: Profile, day: dt.date) -> list[tuple[str, float, float | None]]:
        """Return (item, weight, mean rating) of what was done with items up to a day, in the order of the items' ids."""
        weights = {role: Decimal(repr(float(weight))) for role, weight in self.settings.features.role_weights.items()}
        tiles = versions.by_key(
            (tile for tile in _rows_of(self._items_of, profile) if tile["event_date"] <= day), "item_id"
        )
        found: list[tuple[str, float, float | None]] = []
        for item, of_item in sorted(tiles.items()):
            weight = sum((tile["n"] * weights.get(tile["role"], Decimal(0)) for tile in of_item), Decimal(0))
            rated = [tile for tile in of_item if tile["role"] == "rate"]
            values = [float(tile["value"]) for tile in rated if tile["value"] is not None]
            rating = sum(values) / sum(tile["n"] for tile in rated) if values else None
            if weight > 0:
                found.append((item, float(weight), rating))
        return found

    def bought_by(self, profile: Profile, day: dt.date) -> set[str]:
        """Return the items that a profile had bought up to a day."""
        tiles = _rows_of(self._items_of, profile)
        return {tile["item_id"] for tile in tiles if tile["role"] == "purchase" and tile["event_date"] <= day}

    def _interests(self, profile: Profile, day: dt.date) -> list[tuple[str, str, Any, int]]:
        for alias in profile.aliases:
            if alias not in self._signals:
                self._signals[alias] = interests.signals_of(
                    self._items_of.get(alias, ()), self._terms_of.get(alias, ()), self._versions_of_items, self.settings.features
                )  # fmt: skip
        signals = (signal for alias in profile.aliases for signal in self._signals[alias])
        return interests.interests(signals, day, self._decay, per_kind=self.settings.features.interests_per_kind)

    def _attributes(self, profile: Profile, day: dt.date) -> dict[str, float | None]:
        crm = self.crm_of(profile, day)
        found: dict[str, float | None] = {}
        for name in self.settings.features.attributes:
            numbers = [number for row in crm if (number := number_of(known_text(row, name))) is not None]
            # Not-a-number stands above all numbers.
            found[attribute_column(name)] = min(numbers, key=lambda n: (n != n, n), default=None)
        return found


def known_text(row: Row, name: str) -> str | None:
    """Return what the CRM says in a column of its own, or in an attribute of that name, as text; blank is nothing."""
    if name in versions.USER_FIELDS and name != "attributes":
        value = row[name]
        text = "" if value is None else str(value)
        # The engine writes no zeros at the end of a fraction of a second.
        return (text.rstrip("0") if isinstance(value, dt.datetime) and value.microsecond else text) or None
    return text_in(row["attributes"], name)


def _rows_of(by_alias: Mapping[str, Sequence[Row]], profile: Profile) -> list[Row]:
    return [row for alias in profile.aliases for row in by_alias.get(alias, ())]
