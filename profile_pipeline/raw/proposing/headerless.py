"""Names for the columns of a file that does not name them, by what they hold.

Not here: well-known files (`layouts`), or what a named column is for us (`tables`).
"""

from collections.abc import Sequence

from profile_pipeline.raw.proposing.kinds import ColumnKind, is_of_people

MANY_VALUES = 10


def names_by_content(kinds: Sequence[ColumnKind]) -> list[str]:
    """Name the columns of a file without a header by what they hold; what can't be told stays `column1`, …"""
    names = {kind.name: kind.name for kind in kinds}
    free = [kind for kind in kinds if not kind.is_blank]

    def take(name: str, found: ColumnKind | None) -> None:
        if found is not None:
            names[found.name] = name
            free.remove(found)

    ids = [k for k in free if k.is_integer or not k.is_number]
    is_people = is_of_people(free)
    ids = [k for k in ids if is_people or k.n_distinct > MANY_VALUES]
    time = None if is_people else _time(free)
    take("timestamp", time)
    take("gender", next((k for k in free if k.is_gender and not k.is_flag), None))
    take("email", next((k for k in free if k.is_email), None))
    take("url", next((k for k in free if k.is_address), None))
    take("ip", next((k for k in free if k.is_network_address), None))
    if is_people:
        take("birth_date", next((k for k in free if k.is_of_births), None))
        take("full_name", next((k for k in free if k.is_name_of_person), None))
    left = [k for k in ids if k in free]
    if time is not None:
        take("user_id", next(iter(left), None))
        take("item_id", next(iter(left[1:]), None))
        take("rating", next((k for k in free if _is_rating(k)), None))
        take("event_type", next((k for k in free if not k.is_number and 2 <= k.n_distinct <= 60), None))
        take("amount", next((k for k in free if k.is_number and not k.is_integer), None))
    else:
        # One row a person: an id that comes again is none.
        take("id", next((k for k in left if k.is_key), None))
        take("age", next((k for k in free if _is_age(k)), None))
    return list(names.values())


def _time(kinds: Sequence[ColumnKind]) -> ColumnKind | None:
    timed = [k for k in kinds if k.time is not None]
    return next((k for k in timed if k.time is not None and k.time.written != "%Y%m%d"), next(iter(timed), None))


def _is_rating(kind: ColumnKind) -> bool:
    return kind.is_number and 3 <= kind.n_distinct <= 11 and all(0 <= float(v) <= 10 for v in kind.counts if v)


def _is_age(kind: ColumnKind) -> bool:
    """Whole numbers up to those of the old: years of schooling end before."""
    return (
        kind.is_integer
        and 10 < kind.n_distinct < 110
        and all(0 < int(v) < 111 for v in kind.counts)
        and max(map(int, kind.counts)) > 45
    )
