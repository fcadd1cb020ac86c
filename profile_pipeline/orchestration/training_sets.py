"""Training sets: for rows of (person, time, label), what was known of the person then; read from the warehouse, never written to it.

Not here: reading a label file (`raw.readers.labels`), the queries (`features.point_in_time`), or what an outcome is (`models.labels`).
"""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from profile_pipeline.applications.exports import ROW_GROUP_ROWS, write_parquet
from profile_pipeline.errors import ExpectedError
from profile_pipeline.features.matrix import user_features_table
from profile_pipeline.features.point_in_time import (
    ALIASES_SQL,
    ASKED_ALIASES,
    ASKED_FEATURES,
    ASKED_PROFILES,
    asked_interest_days,
    asked_queries,
    asked_views,
    distinct_rows,
    placed_rows,
)
from profile_pipeline.features.tables import TILES
from profile_pipeline.features.windows import INTEREST_DAYS, decay_weights, role_weights
from profile_pipeline.models.labels import closed_cohorts, outcome_class, outcome_labels
from profile_pipeline.orchestration.assets.cleaned import sql_parameters
from profile_pipeline.orchestration.assets.features import SNAPSHOT_ROWS
from profile_pipeline.orchestration.building.cleaning import ALIAS_CONSUMERS, STREAM_CONSUMERS
from profile_pipeline.orchestration.building.days import first_open_day
from profile_pipeline.orchestration.table_assets import MissingUpstreamError, code_version, require_judged
from profile_pipeline.raw.readers.labels import LabelRows
from profile_pipeline.settings import OutcomeModelSettings, Settings
from profile_pipeline.table import Column
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.sql import bound, sql_file

# What the engine may hold where `memory_limit` is not set: rows in Arrow and the file being written come on top.
MEMORY_LIMIT = "1GB"
SHOWN = 3


class TrainingSetError(ExpectedError):
    """The training set can't be made; the text says what was found, what is expected and what to do."""


@dataclass
class Told:
    """What became of the rows asked for."""

    n_asked: int = 0
    n_outside_days: int = 0
    n_repeated: int = 0
    n_written: int = 0
    n_unknown_people: int = 0
    n_not_seen_yet: int = 0
    n_inactive: int = 0
    n_sharing_person_and_day: int = 0
    n_features: int = 0
    first_day: dt.date | None = None
    last_day: dt.date | None = None
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Asked:
    """The rows asked for, while the relation `asked_people` says of each who is meant and until when it may know.

    Attributes
    ----------
    given
        The columns to be carried through.
    keeps_unknown
        A row of somebody without features is kept, with nulls; else it is left out, as training leaves it out.
    origin
        Where the labels come from, for the file's metadata.
    last_day
        The last day whose events are looked at, for features or for labels.
    """

    given: pa.Table
    keeps_unknown: bool
    origin: str
    last_day: dt.date


def ask_rows(w: Warehouse, settings: Settings, labels: LabelRows, days: tuple[dt.date, dt.date], told: Told) -> Asked:
    """Find out who is meant by the rows of a label file; count those that mean nobody, or a day outside of the range."""
    first, last = days
    numbers = pa.array(range(labels.given.num_rows), pa.int64())
    rows = [numbers, labels.person, labels.stated_date, labels.stated_at]
    w.temporary("asked_rows", pa.table(rows, names=["row_number", "person", "stated_date", "stated_at"]))
    known = {"timezone": settings.calendar.timezone, "first_day": first, "last_day": last}
    w.temporary("asked_people", sql_file("features.asked_people"), known)
    w.drop("asked_rows")
    n_within, n_unknown, n_not_yet, least, last_day = w.rows(
        "select count(*), count(*) filter (where not is_ever_known), count(*) filter (where is_ever_known and profile_id is null),"
        " min(row_number) filter (where not is_ever_known), max(as_of_date) from asked_people"
    )[0]
    told.n_asked, told.n_outside_days = labels.given.num_rows, labels.given.num_rows - n_within
    told.n_unknown_people, told.n_not_seen_yet = n_unknown, n_not_yet
    if n_within == 0:
        raise TrainingSetError(
            f"found no row whose time lies in {first} to {last}, of {labels.given.num_rows:,} rows. Give other days with --from and --to."
        )
    if n_unknown:
        told.notes.append(
            f"unknown people, such as {labels.person[least].as_py() or ''!r}: expected a user_id, an alias such as anonymous:a1, or a profile_id"
        )
    if labels.is_midnight_always:
        told.notes.append(
            "every time is a midnight, before which only the day before had ended; where dates are meant, write them as 2026-03-01"
        )
    return Asked(labels.given, keeps_unknown=True, origin="rows of the user", last_day=last_day)


def ask_cohorts(w: Warehouse, settings: Settings, name: str, week: dt.date, days: tuple[dt.date, dt.date], told: Told) -> Asked:  # fmt: skip
    """Take the cohorts of an outcome that training uses, with their labels.

    Parameters
    ----------
    week
        The newest week that has ended.
    """
    model = settings.models[name]
    if not isinstance(model, OutcomeModelSettings):
        raise TrainingSetError(f"found {name}, a model of task {model.task}, expected one of task outcome")
    closed = closed_cohorts(week, calendar_start=settings.calendar.start, horizon_days=model.horizon_days)
    cohorts = [day for day in closed if days[0] <= day <= days[1]]
    if not cohorts:
        raise TrainingSetError(
            f"found no cohort of {name} in {days[0]} to {days[1]}, expected days that hold a Sunday whose {model.horizon_days} days are over"
            + (f": {closed[0]} to {closed[-1]}" if closed else "; there is none yet")
        )
    people = []
    for cohort in cohorts:
        sql, parameters = outcome_labels(model, cohort)
        found = w.arrow(f"select profile_id, has_happened, $cohort as as_of_date from ({sql})", parameters)
        people.append(found)
    rows = pa.concat_tables(people)
    classes = [outcome_class(name, model, has_happened) for has_happened in (False, True)]
    label = pc.if_else(rows.column("has_happened"), classes[1], classes[0])
    numbers = pa.array(range(len(rows)), pa.int64())
    w.temporary(
        "asked_people",
        pa.table({"row_number": numbers, "as_of_date": rows.column("as_of_date"), "profile_id": rows.column("profile_id")}),
    )  # fmt: skip
    told.n_asked = len(rows)
    last_day = cohorts[-1] + dt.timedelta(days=model.horizon_days)
    return Asked(pa.table({"label": label}), keeps_unknown=False, origin=f"outcome {name}", last_day=last_day)


def require_tiles(w: Warehouse, settings: Settings, last_day: dt.date) -> None:
    """Refuse to look at a history that lacks days, or rows that a killed run has not followed.

    Raises
    ------
    TrainingSetError
        With what builds them.
    """
    try:
        require_judged(w, "a training set", between=(settings.calendar.start, last_day))
    except MissingUpstreamError as error:
        raise TrainingSetError(str(error)) from None
    n_touched = w.scalar(
        "select count(*) from cleaned.touched where list_contains($consumers, consumer) and event_date <= $last_day",
        {"consumers": [*ALIAS_CONSUMERS, *STREAM_CONSUMERS], "last_day": last_day},
    )
    if n_touched:
        raise TrainingSetError(
            f"found {n_touched:,} changes up to {last_day} that sessions and tiles have not followed, expected none. Run `profile-pipeline run` first."
        )


def write_training_set(
    w: Warehouse,
    settings: Settings,
    asked: Asked,
    out: Path,
    told: Told,
    say: Callable[[str], None],
) -> None:
    """Compute the features of the rows asked for and write them beside their own columns, by day and profile.

    Parameters
    ----------
    told
        Completed.

    Raises
    ------
    TrainingSetError
        If a column of the rows has the name of a feature, or the history that they need is not built.
    """
    schema = schema_of(settings, asked)
    last_day = asked.last_day
    require_tiles(w, settings, last_day)
    n_waiting = w.scalar(
        "select coalesce(sum(n_events), 0) from raw.pending where event_date <= $last_day", {"last_day": last_day}
    )
    if n_waiting:
        told.notes.append(
            f"{n_waiting:,} late events are loaded and not folded in yet: `profile-pipeline run` folds them in"
        )
    if last_day >= first_open_day(settings.calendar):
        told.notes.append(f"{last_day} has not ended: what is known of it is provisional")
    _place_rows(w, asked, told)
    told.n_written = write_parquet(out, schema, _pieces(w, settings, asked, schema, told, say))
    told.n_features = len(schema) - len(asked.given.column_names) - 2


def _place_rows(w: Warehouse, asked: Asked, told: Told) -> None:
    """Make `placed_rows`: the rows in the order of the file, cut into pieces of a bounded number of tiles to join.

    The order is by day, profile, and the columns given: it does not depend on that in which the rows came. Rows that are the same in
    all columns are one.
    """
    names = [f"c{number}" for number in range(asked.given.num_columns)]
    numbers = pa.array(range(asked.given.num_rows), pa.int64())
    w.temporary("given_rows", pa.table([numbers, *asked.given.columns], names=["row_number", *names]))
    w.temporary("distinct_rows", distinct_rows(names))
    most = {"n_tiles_at_once": SNAPSHOT_ROWS, "least_weight": max(1, SNAPSHOT_ROWS // ROW_GROUP_ROWS)}
    w.temporary("placed_rows", placed_rows(names), most)
    w.drop("given_rows", "distinct_rows")
    n_people, n_rows, n_shared, told.first_day, told.last_day = w.rows(
        "select (select count(*) from asked_people), count(*), count(*) filter (where n_sharing > 1 and profile_id is not null), min(as_of_date), max(as_of_date) from placed_rows"
    )[0]
    told.n_repeated, told.n_sharing_person_and_day = n_people - n_rows, n_shared


def _pieces(
    w: Warehouse, settings: Settings, asked: Asked, schema: pa.Schema, told: Told, say: Callable[[str], None]
) -> Iterator[pa.Table]:
    """Compute piece by piece: memory is bounded by the piece, however many rows and days are asked for."""
    w.temporary("decay_weights", decay_weights(settings.features.interest_half_life_days))
    w.temporary("role_weights", role_weights(settings.features.role_weights))
    _ask(w, "profile_id is not null")
    w.temporary(INTEREST_DAYS, asked_interest_days())
    for view, text in asked_views().items():
        w.execute(f"create or replace temp view {view} as {text}")
    pieces = w.rows(
        "select piece, min(as_of_date), max(as_of_date), count(*) from placed_rows group by piece order by piece"
    )
    n_done, n_all = 0, sum(n for *_, n in pieces)
    for piece, first, last, n_rows in pieces:
        _compute_features(w, settings, piece, first, last)
        found = w.arrow(
            f"select p.row_number, p.profile_id, p.as_of_date, f.* exclude (profile_id, as_of_date), f.profile_id is null as has_none from placed_rows as p left join {ASKED_FEATURES} as f"
            " on f.profile_id = p.profile_id and f.as_of_date = p.as_of_date where p.piece = $piece order by p.place",
            {"piece": piece},
        )
        is_inactive = pc.and_(pc.is_valid(found.column("profile_id")), found.column("has_none"))
        told.n_inactive += pc.sum(is_inactive).as_py() or 0
        if not asked.keeps_unknown:
            found = found.filter(pc.invert(is_inactive))
        given = asked.given.take(found.column("row_number"))
        yield pa.table([*given.columns, *found.columns[1:-1]], schema=schema)
        n_done += n_rows
        if len(pieces) > 1:
            say(f"training set: {first} to {last}, {n_done:,} of {n_all:,} rows")


def _ask(w: Warehouse, condition: str, **parameters: Any) -> None:
    """Make the relations that say whose features are computed, as of which days: those of rows that fulfil a condition."""
    w.temporary(
        ASKED_PROFILES, f"select distinct profile_id, as_of_date from placed_rows where {condition}", parameters
    )
    w.temporary("snapshot_days", f"select distinct as_of_date from {ASKED_PROFILES}")
    w.temporary(ASKED_ALIASES, ALIASES_SQL)


def _compute_features(w: Warehouse, settings: Settings, piece: int, first: dt.date, last: dt.date) -> None:
    """Make `asked_user_features` for the profiles and days of a piece."""
    _ask(w, "profile_id is not null and piece = $piece", piece=piece)
    known = sql_parameters(settings) | {"first_day": first, "last_day": last}
    for relation, query in asked_queries(settings.features.attributes, has_events=settings.has_events).items():
        w.temporary(relation, query, bound(query, known))


def schema_of(settings: Settings, asked: Asked) -> pa.Schema:
    """Return the schema of the file: the columns given, who and as of when, and the features with meaning and unit.

    Raises
    ------
    TrainingSetError
        If two columns would have one name.
    """
    ours = user_features_table(settings.features.attributes, has_events=settings.has_events).columns
    taken = {column.name.casefold() for column in ours}
    twice = [name for name in asked.given.column_names if name.casefold() in taken]
    if twice:
        raise TrainingSetError(
            f"found the columns {', '.join(twice)} in the label file, expected names that no feature has. Rename or remove them."
        )
    metadata = {
        "profile_pipeline.feature_code_version": feature_code_version(settings),
        "profile_pipeline.labels": asked.origin,
        "profile_pipeline.as_of_date": f"features are what was known at the end of this day in {settings.calendar.timezone}",
    }
    return pa.schema([*asked.given.schema, *map(_field, ours)], metadata=metadata)


def _field(column: Column) -> pa.Field:
    kind = {"VARCHAR": pa.string(), "DATE": pa.date32(), "DOUBLE": pa.float64()}[column.type]
    told = {"meaning": column.meaning} | ({"unit": column.unit} if column.unit else {})
    return pa.field(column.name, kind, metadata=told)


def feature_code_version(settings: Settings) -> str:
    """Return a hash of all that features depend on but the events themselves: SQL from tiles on, and settings."""
    texts = [sql_file(tile.name) for tile in TILES]
    queries = asked_queries(settings.features.attributes, has_events=settings.has_events)
    return code_version(
        *texts, *asked_views().values(), asked_interest_days(), *queries.values(),
        settings.fingerprint("calendar", "activity_days", "features"),
    )  # fmt: skip
