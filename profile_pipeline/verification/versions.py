"""What was known of a user, an item or a relation, and when: records laid one over the other in the order of their times.

Not here: the SQL that this is held against (`cleaned/`), or which records are read.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from profile_pipeline.settings import Settings
from profile_pipeline.verification.values import md5_of, merged, said

Row = dict[str, Any]

USER_FIELDS = (
    "gender", "birth_date", "birth_year", "income_band", "occupation", "education", "city", "country", "registered_at", "attributes",
)  # fmt: skip
ITEM_FIELDS = ("kind", "title", "categories", "brand", "author", "price", "currency", "attributes")
# A record comes with the text of its fields beside them, under this prefix: what its md5 is made of.
TEXT = "text_of_"


def users(records: Iterable[Row], settings: Settings) -> list[Row]:
    """Return the rows of `cleaned.users`."""
    return [*_versions(records, "user_id", USER_FIELDS, settings)]


def items(records: Iterable[Row], settings: Settings) -> list[Row]:
    """Return the rows of `cleaned.items`."""
    return [*_versions(records, "item_id", ITEM_FIELDS, settings)]


def relations(records: Iterable[Row], settings: Settings) -> list[Row]:
    """Return the rows of `cleaned.relations`: an edge from the day on which a source first says so."""
    firsts: dict[tuple[str, str, str], tuple[dt.date, bool]] = {}
    for record in records:
        edge = record["user_id"], record["other_user_id"], record["relation"] or "related"
        since = _day_of(record["updated_at"], settings), record["updated_at"] is None
        firsts[edge] = min(since, firsts.get(edge, since))
    return [
        {"user_id": user, "other_user_id": other, "relation": relation, "is_timeless": is_timeless, "valid_from": day, "valid_to": None}
        for (user, other, relation), (day, is_timeless) in firsts.items()
    ]  # fmt: skip


def version_on(versions: Sequence[Row], day: dt.date) -> Row | None:
    """Return the version that holds on a day."""
    return next(
        (v for v in versions if v["valid_from"] <= day and (v["valid_to"] is None or v["valid_to"] > day)), None
    )


def by_key(rows: Iterable[Row], column: str) -> dict[str, list[Row]]:
    """Return rows by a column."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[column]].append(row)
    return dict(found)


def _day_of(updated_at: dt.datetime | None, settings: Settings) -> dt.date:
    if updated_at is None:
        return settings.calendar.start
    return updated_at.replace(tzinfo=dt.UTC).astimezone(ZoneInfo(settings.calendar.timezone)).date()


def _versions(records: Iterable[Row], key: str, fields: Sequence[str], settings: Settings) -> Iterable[Row]:
    """Yield versions; attributes are what JSON says, and lie one over the other field by field."""
    full = {name for name, source in settings.sources.items() if source.full_records}
    for name, of_key in by_key(records, key).items():
        by_day: dict[dt.date, Row] = {}
        known: Row = {}
        attributes: Any = {}
        # What has no time lies below all else, so it can't be held from a later day than that.
        earliest = min(_day_of(record["updated_at"], settings) for record in of_key)
        for record in sorted(of_key, key=lambda r: _order(r, fields, is_full=r["source"] in full)):
            if record["source"] in full:
                known, attributes = {}, {}
            known = known | {
                field: record[field] for field in fields if field != "attributes" and record[field] is not None
            }
            attributes = (
                merged(attributes, said(record["attributes"])) if record["attributes"] is not None else attributes
            )
            day = earliest if record["updated_at"] is None else _day_of(record["updated_at"], settings)
            # Of several records of one day the last stands.
            by_day[day] = {
                key: name,
                **{field: known.get(field) for field in fields if field != "attributes"},
                "attributes": attributes or None,
                "is_timeless": record["updated_at"] is None,
                "valid_from": day,
            }
        days = sorted(by_day)
        for day, following in zip(days, [*days[1:], None], strict=True):
            yield {**by_day[day], "valid_to": following}


def _order(record: Mapping[str, Any], fields: Sequence[str], *, is_full: bool) -> tuple[Any, ...]:
    updated_at = record["updated_at"]
    texts = [record[TEXT + field] for field in fields]
    told = [(record[field] is None, record[field] or "") for field in fields if isinstance(record[field], str | None)]
    return (updated_at is not None, updated_at or dt.datetime.min, md5_of(texts), is_full, told)
