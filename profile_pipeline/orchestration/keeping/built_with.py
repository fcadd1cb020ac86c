"""What the tables were built with: kept with the first rows, and held against the configuration before anything is written.

Rows that were loaded under one mapping, zone or first day, and rows loaded under another, would stand side by side as if they
said the same; so would those of one path that was read as two sources. Not here: building anew (`rebuilding`), or reading rejected records again (`recovering`).
"""

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any

from profile_pipeline.applications.tables import AUDIENCES, RECOMMENDATIONS
from profile_pipeline.errors import ConfigurationError
from profile_pipeline.paths import Paths
from profile_pipeline.raw.landing import claimants, fixed_start
from profile_pipeline.raw.tables import BUILT_WITH
from profile_pipeline.settings import Settings
from profile_pipeline.settings_file import line_finder
from profile_pipeline.source_settings import SourceSettings
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.opening import WarehouseError
from profile_pipeline.wording import counted

# Raised when tables change in a way that adding a column does not mend.
SCHEMA = 1
# Where files lie shapes no row, and versions of people and items are made of all records anew by each run.
SHAPES_NO_ROW = frozenset({"path", "full_records"})
LONGEST_TOLD = 120
FEATURES, TAGS = "features", "tags"
# Days whose tags were made by other settings than the fact of that name.
DAYS_OF_OTHER_TAGS = "days_of_other_tags"
Ask = Callable[[str], list[tuple[Any, ...]]]
# What differs, by fact: the setting, what it was, what it is.
Differences = dict[str, list[tuple[str, Any, Any]]]


def source_fact(name: str) -> str:
    """Return under which name the mapping of a source is kept."""
    return f"sources.{name}"


def facts_of(settings: Settings) -> dict[str, Any]:
    """Return what shapes rows, by name, as the configuration says it now."""
    calendar = settings.calendar
    return {
        "schema": SCHEMA,
        "calendar.start": str(calendar.start),
        "calendar.timezone": calendar.timezone,
        "currency": settings.currency,
        "bots": settings.bots.model_dump(mode="json"),
    } | {
        source_fact(name): source.model_dump(mode="json", exclude=set(SHAPES_NO_ROW))
        for name, source in settings.sources.items()
    }


def stored_facts(ask: Ask) -> dict[str, Any]:
    """Return what the tables were built with; a source of which nothing was loaded is not in it."""
    return {name: json.loads(value) for name, value in ask("select name, value from raw.built_with")}


def note_facts(w: Warehouse, settings: Settings, sources: Iterable[str]) -> None:
    """Note what the first rows of these sources are built with; called in the transaction that writes them."""
    known = {name for (name,) in w.rows("select name from raw.built_with")}
    facts = facts_of(settings)
    shared = [name for name in facts if not name.startswith(source_fact(""))]
    for name in [*shared, *map(source_fact, sources)]:
        if name not in known:
            _note(w, name, facts[name])


def _note(w: Warehouse, name: str, fact: Any) -> None:
    w.execute(
        "insert into raw.built_with (name, value) values ($name, $value)", {"name": name, "value": json.dumps(fact)}
    )


def _note_anew(w: Warehouse, name: str, fact: Any) -> None:
    if stored_facts(w.rows).get(name) != fact:
        w.execute("delete from raw.built_with where name = $name", {"name": name})
        _note(w, name, fact)


def has_other_features(ask: Ask, settings: Settings) -> bool:
    """Say whether snapshots were built with other settings of features: each stands alone, so they are outdated and nothing is refused."""
    return stored_facts(ask).get(FEATURES, _features(settings)) != _features(settings)


def note_features(w: Warehouse, settings: Settings) -> None:
    """Note with what snapshots are built from now on."""
    _note_anew(w, FEATURES, _features(settings))


def _features(settings: Settings) -> dict[str, Any]:
    return {"activity_days": settings.activity_days} | settings.features.model_dump(mode="json")


def full_sources(settings: Settings, table: str) -> list[str]:
    """Return the sources of a table whose newer records say everything: what they leave out is known no more."""
    return sorted(name for name, source in settings.sources.items() if source.table == table and source.full_records)


def has_other_full_sources(ask: Ask, settings: Settings, table: str) -> bool:
    """Say whether versions were made with others: they are made of all records by each run, so they follow and nothing is refused."""
    full = full_sources(settings, table)
    return stored_facts(ask).get(_full_fact(table), full) != full


def note_full_sources(w: Warehouse, settings: Settings, table: str) -> None:
    """Note with what versions are made; called in the transaction that makes them."""
    _note_anew(w, _full_fact(table), full_sources(settings, table))


def _full_fact(table: str) -> str:
    return f"full_records.{table}"


def days_of_other_tags(ask: Ask, settings: Settings) -> set[dt.date]:
    """Return the days whose tags were made by other settings of tags: those of past days stay what was delivered then."""
    stored = stored_facts(ask)
    built = {day for (day,) in ask("select distinct as_of_date from profiles.user_profiles")}
    if stored.get(TAGS, _tags(settings)) != _tags(settings):
        return built
    return built & set(map(dt.date.fromisoformat, stored.get(DAYS_OF_OTHER_TAGS, ())))


def note_tags(w: Warehouse, settings: Settings, days: Collection[dt.date]) -> None:
    """Note by what the tags of these days are made; called in the transaction that makes them."""
    others = days_of_other_tags(w.rows, settings) - set(days)
    _note_anew(w, TAGS, _tags(settings))
    _note_anew(w, DAYS_OF_OTHER_TAGS, sorted(map(str, others)))


def _tags(settings: Settings) -> dict[str, Any]:
    return {name: tag.model_dump(mode="json", exclude={"description"}) for name, tag in settings.tags.items()}


def other_deliveries(ask: Ask, settings: Settings) -> set[str]:
    """Return the tables of applications that were made by other settings than those of now."""
    stored = stored_facts(ask)
    return {table for table, fact in _of_deliveries(settings).items() if stored.get(table, fact) != fact}


def note_delivery(w: Warehouse, settings: Settings, table: str) -> None:
    """Note by what a table of applications is made; called in the transaction that makes its newest day."""
    _note_anew(w, table, _of_deliveries(settings)[table])


def _of_deliveries(settings: Settings) -> dict[str, Any]:
    return {
        AUDIENCES.name: {name: audience.where for name, audience in settings.audiences.items()},
        RECOMMENDATIONS.name: settings.recommendations.model_dump(mode="json"),
    }


def adopt_source(w: Warehouse, settings: Settings, source: str) -> None:
    """Take the mapping of a source, as it is now, for what its rows were built with."""
    with w.transaction():
        w.execute("delete from raw.built_with where name = $name", {"name": source_fact(source)})
        note_facts(w, settings, [source])


def differences(ask: Ask, settings: Settings) -> Differences:
    """Return what differs from the facts that are kept. A source that is gone or new differs in nothing."""
    now, found = facts_of(settings), Differences()
    for name, was in stored_facts(ask).items():
        if name == "schema" or name not in now:
            continue
        if name.startswith(source_fact("")):
            was = _defaults(now[name]) | was
        told = list(_differing(name, was, now[name]))
        if told:
            found[name] = told
    return found


def _defaults(source: dict[str, Any]) -> dict[str, Any]:
    """A setting that a later release has added stood, before, at its default."""
    fields = SourceSettings.model_fields
    return {
        name: json.loads(json.dumps(fields[name].get_default(call_default_factory=True)))
        for name in source
        if not fields[name].is_required()
    }


def _differing(place: str, was: Any, now: Any) -> Iterable[tuple[str, Any, Any]]:
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted(was.keys() | now.keys()):
            yield from _differing(f"{place}.{key}", was.get(key), now.get(key))
    elif was != now:
        yield place, was, now


def refusals(ask: Ask, settings: Settings) -> Differences:
    """Return all for which nothing is written: what differs from the facts that are kept, and what loaded rows themselves say."""
    found = differences(ask, settings)
    for name, told in _of_other_sources(ask, settings).items():
        found.setdefault(name, []).extend(told)
    (last,), end = ask("select max(event_date) from cleaned.ledger where n_cleaned > 0")[0], settings.calendar.end
    if last is not None and end is not None and last > end:
        found["calendar.end"] = [("calendar.end", f"events up to {last}", str(end))]
    if not settings.has_events and ask("select 1 from raw.events limit 1"):
        found["sources"] = [("sources", "events", "no source of events")]
    return found


def _of_other_sources(ask: Ask, settings: Settings) -> Differences:
    """Return what sources claim of files that were loaded as those of another, such as one that has another name now.

    A file that no source claims any more stays what it is.
    """
    starts = {name: fixed_start(source.path) for name, source in settings.sources.items()}
    others: dict[str, tuple[str, ...]] = {}
    n_files: Counter[tuple[str, str]] = Counter()
    for source, path in ask("select source, path from raw.files where n_loaded > 0"):
        if source not in others:
            others[source] = tuple(start for name, start in starts.items() if name != source)
        # For speed: of very many files hardly any begins as the pattern of another source does.
        if path.startswith(others[source]):
            claiming = claimants(path, settings.sources)
            if claiming and source not in claiming:
                n_files[claiming[0], source] += 1
    found = Differences()
    for (name, source), n in sorted(n_files.items()):
        was = f"the source {source} for {counted(n, 'file')} of this path"
        found.setdefault(source_fact(name), []).append((_path_of(name), was, settings.sources[name].path))
    return found


def _path_of(source: str) -> str:
    return f"{source_fact(source)}.path"


def require_same(w: Warehouse, settings: Settings, paths: Paths, *, sources_too: bool = True) -> None:
    """Refuse to write to tables that were built with something else.

    A warehouse of before these facts were kept is taken as built with what the configuration says now.

    Parameters
    ----------
    sources_too
        Look at each source too; else at what concerns all of them, for who reads a source again and looks at its mapping himself.

    Raises
    ------
    ConfigurationError
        With all that differs, and the command that helps.
    """
    found = refusals(w.rows, settings)
    told = {name: faults for name, faults in found.items() if sources_too or not name.startswith(source_fact(""))}
    if told:
        raise ConfigurationError(_message(told, paths))
    if not stored_facts(w.rows) and not w.is_read_only:
        loaded = [name for (name,) in w.rows("select distinct source from raw.files where n_loaded > 0")]
        if loaded:
            note_facts(w, settings, sorted(set(loaded) & settings.sources.keys()))


def _message(found: Differences, paths: Paths) -> str:
    line_of = line_finder(paths.config) if paths.config.is_file() else None
    lines = [
        f"{paths.config}{f':{line_of(place)}' if line_of else ''}: {place}: found {_told(now)}, the tables were built with {_told(was)}"
        for faults in found.values()
        for place, was, now in faults
    ]
    sources = [name.removeprefix(source_fact("")) for name in found if name.startswith(source_fact(""))]
    options = "".join(f" --source {name}" for name in sources) if len(sources) == len(found) else ""
    lines.append(
        f"Nothing was written. Put it back, or build the tables as if it had always been so: profile-pipeline rebuild{options}"
    )
    if options:
        lines += [
            f"Where only records that were rejected are to change: profile-pipeline rejected recover --source {name}"
            for name in sources
            # Records of another source are read anew, whichever were rejected.
            if _path_of(name) not in (place for place, _, _ in found[source_fact(name)])
        ]
    return "\n".join(lines)


def _told(value: Any) -> str:
    text = "nothing" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_TOLD else f"{text[:LONGEST_TOLD]}…"


def refuse_newer(w: Warehouse) -> None:
    """Refuse a warehouse whose tables a newer release has shaped.

    Raises
    ------
    WarehouseError
        With both versions, and what can be done.
    """
    if not w.has_table(BUILT_WITH.name):
        return
    schema = stored_facts(w.rows).get("schema", SCHEMA)
    if schema > SCHEMA:
        raise WarehouseError(
            f"{w.path} has tables of schema {schema}, and this release knows schemas up to {SCHEMA}: a newer release wrote it."
            " Install that release again, or restore a backup of before: profile-pipeline restore FOLDER"
        )
