"""The assets of features: tiles by touched rows, snapshots by whole days.

Not here: what a feature is (`features/`), or which days a run has (`days`).
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from profile_pipeline.features.matrix import attribute_column, user_features_sql, user_features_table
from profile_pipeline.features.tables import (
    BEHAVIOR,
    DEMAND,
    INTERESTS,
    STALE_DAYS,
    TILES,
    USER_FEATURES,
    USER_ITEM_DAYS,
    USER_TERM_DAYS,
)
from profile_pipeline.features.windows import (
    INTEREST_DAY_COLUMNS,
    INTEREST_DAYS,
    VISIBLE,
    aliases_of_part,
    decay_weights,
    role_weights,
    summed_interest_days,
    visible_sql,
)
from profile_pipeline.orchestration.assets.cleaned import sql_parameters
from profile_pipeline.orchestration.building.cleaning import (
    DELIVERIES,
    OLDER,
    PROFILE_CONSUMERS,
    REBUILT,
    STALE_CONSUMER,
)
from profile_pipeline.orchestration.building.days import (
    RunDays,
    chunks_of,
    daily_partitions,
    days_between,
    days_to_build,
    hold_snapshot_days,
    settle_days,
    settle_rows,
    touch_days,
    touched_rows_query,
)
from profile_pipeline.orchestration.keeping.built_with import has_other_features, note_features
from profile_pipeline.orchestration.lineage import Lineage, LineageCache
from profile_pipeline.orchestration.table_assets import (
    asset_arguments,
    code_version,
    report_days,
    report_whole,
    require_judged,
    require_rows,
    source_version,
    spec_of,
)
from profile_pipeline.paths import Paths
from profile_pipeline.settings import Settings
from profile_pipeline.table import Table
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.sql import bound, confined, sql_file
from profile_pipeline.wording import counted

# Rows that a snapshot query joins at once: tiles by days. It bounds memory, as chunks of events do. Where a day has more, days are taken
# one by one, and people in parts: both follow from this one number, since a person is in other parts on other days.
SNAPSHOT_ROWS = 8_000_000
# For more snapshot days than these, what tiles say of interests is summed up once, for all of them.
FEW_DAYS = 2
PART_ALIASES = "part_aliases"


def build_features(
    settings: Settings, paths: Paths, lineages: LineageCache, declared: Mapping[str, Lineage]
) -> list[dg.AssetsDefinition]:
    """Return the assets of features."""
    del paths
    matrix = user_features_table(settings.features.attributes, has_events=settings.has_events)
    snapshots: list[tuple[Table, str, tuple[str, ...]]] = [
        (BEHAVIOR, sql_file("features.behavior"), ()),
        (INTERESTS, sql_file("features.interests"), ("features.behavior",)),
        (DEMAND, sql_file("features.demand"), ("features.behavior",)),
        (
            matrix,
            user_features_sql(settings.features.attributes, has_events=settings.has_events),
            ("features.behavior", "features.demand", "features.interests"),
        ),
    ]
    return [
        *(_tile(tile, settings, lineages) for tile in TILES),
        *(_snapshot(table, text, upstream, settings, lineages) for table, text, upstream in snapshots),
        _stale_days(settings, declared[STALE_DAYS.name]),
    ]


def _tile(table: Table, settings: Settings, lineages: LineageCache) -> dg.AssetsDefinition:
    """A tile: whole days of the run, and touched (alias, day) rows of other days by the same text."""
    text = sql_file(table.name)
    lineage = lineages.of(text)
    daily = daily_partitions(settings.calendar)
    known = sql_parameters(settings)
    spec = spec_of(
        table,
        deps=lineage.tables,
        kinds={"duckdb", "sql"},
        version=code_version(text, settings.fingerprint("calendar")),
        lineage=lineage,
        partitions_def=daily,
    )

    @dg.asset(**asset_arguments(spec), backfill_policy=dg.BackfillPolicy.single_run())
    def tile(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        run, w = RunDays.of(context), warehouse
        require_judged(w, table.name, days=run.days)
        days = days_to_build(w, table.name, run)
        for first, last in chunks_of(w, days, events_per_chunk=settings.events_per_chunk):
            with w.transaction():
                parameters = bound(text, known | {"first_day": first, "last_day": last})
                w.replace_days(table, text, days_between(first, last), parameters)
                settle_days(w, table.name, days_between(first, last))
        n_touched = _follow_rows(w, table, text, lineage.tables, known)
        return dg.MaterializeResult(
            metadata=report_days(context, w, table, run=run, days=days) | {"touched_alias_days": n_touched}
        )

    return tile


def _follow_rows(w: Warehouse, table: Table, text: str, upstream: Sequence[str], known: dict[str, Any]) -> int:
    """Compute the touched rows of days that are not built whole; return how many (alias, day) pairs there were."""
    w.temporary("touched_rows", touched_rows_query(), {"consumer": table.name})
    n_rows, first, last = w.rows("select count(*), min(event_date), max(event_date) from touched_rows")[0]
    if n_rows:
        keys = ("event_date", "alias_id")
        narrowed = confined(text, tables=upstream, scope="touched_rows", keys=keys)
        with w.transaction():
            parameters = bound(narrowed, known | {"first_day": first, "last_day": last})
            w.replace_keys(table, narrowed, scope="touched_rows", keys=keys, parameters=parameters)
            settle_rows(w, table.name, "touched_rows")
    w.drop("touched_rows")
    return n_rows


def _snapshot(
    table: Table, text: str, upstream: tuple[str, ...], settings: Settings, lineages: LineageCache
) -> dg.AssetsDefinition:
    """A snapshot: whole days, computed from the history as of each."""
    # The lineage of the shipped text: attributes that a configuration names come from the CRM and change no other column.
    lineage = lineages.of(user_features_sql((), has_events=True) if table.name == USER_FEATURES.name else text)
    deps = {*lineage.tables, *(("cleaned.users", "cleaned.identities") if table.name == USER_FEATURES.name else ())}
    if table.name == USER_FEATURES.name:
        crm = {attribute_column(name): (("cleaned.users", "attributes"),) for name in settings.features.attributes}
        lineage = replace(lineage, columns=lineage.columns | crm)
    daily = daily_partitions(settings.calendar)
    known = sql_parameters(settings)
    days_text = sql_file(f"features.{INTEREST_DAYS}") if table is INTERESTS else ""
    windows = source_version("features/windows.py")
    version = code_version(text, days_text, windows, settings.fingerprint("calendar", "activity_days", "features"))
    spec = spec_of(
        table, deps=sorted(deps), kinds={"duckdb", "sql"}, version=version, lineage=lineage, partitions_def=daily
    )
    reads_behavior = "features.behavior" in upstream

    @dg.asset(**asset_arguments(spec), backfill_policy=dg.BackfillPolicy.single_run())
    def snapshot(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        run, w = RunDays.of(context), warehouse
        days = days_to_build(w, table.name, run)
        require_judged(w, table.name, between=(settings.calendar.start, max(days)))
        if reads_behavior:
            require_rows(w, table.name, BEHAVIOR, days, activity_days=settings.activity_days)
        prepare_snapshots(w, settings)
        n_tiles = max(1, *(w.scalar(f"select count(*) from {tile.name}") for tile in (USER_ITEM_DAYS, USER_TERM_DAYS)))
        n_parts = _prepare_interests(w, n_days=len(days), n_tiles=n_tiles) if table is INTERESTS else 1
        for chunk in snapshot_chunks(days, n_tiles=n_tiles):
            with w.transaction():
                hold_snapshot_days(w, chunk)
                for part in range(n_parts):
                    if n_parts > 1:
                        w.temporary(PART_ALIASES, aliases_of_part(part, n_parts))
                    if part:
                        w.insert(table, text, bound(text, known))
                    else:
                        w.replace_days(table, text, chunk, bound(text, known))
                settle_days(w, table.name, chunk)
                touch_days(w, (REBUILT + table.table,), chunk)
                # A run may be killed, or ask for no profiles: where there are some they are older than their features now.
                touch_days(w, [OLDER + name for name in (*PROFILE_CONSUMERS, *DELIVERIES)], chunk)
            context.log.info(f"{table.name}: {counted(len(chunk), 'day')} from {chunk[0]} to {chunk[-1]}")
        return dg.MaterializeResult(metadata=report_days(context, w, table, run=run, days=days))

    return snapshot


def _prepare_interests(w: Warehouse, *, n_days: int, n_tiles: int) -> int:
    """Make what the query of interests reads; return into how many parts people are cut.

    Of interests there are more than of anything else: many people are looked at a part at a time. Then days are taken one by one.
    """
    n_parts = -(-n_tiles // SNAPSHOT_ROWS)
    read, text = INTEREST_DAYS, sql_file(f"features.{INTEREST_DAYS}")
    if n_parts > 1:
        w.temporary(PART_ALIASES, aliases_of_part(0, n_parts))
        text = confined(text, tables=[tile.name for tile in TILES], scope=PART_ALIASES, keys=("alias_id",))
    w.execute(f"create or replace temp view {INTEREST_DAYS} as {text}")
    if n_days > FEW_DAYS and n_parts == 1:
        read = f"summed_{INTEREST_DAYS}"
        w.temporary(read, summed_interest_days(INTEREST_DAYS))
    w.execute(f"create or replace temp view visible_{INTEREST_DAYS} as {visible_sql(read, INTEREST_DAY_COLUMNS)}")
    return n_parts


def snapshot_chunks(days: Sequence[dt.date], *, n_tiles: int) -> list[Sequence[dt.date]]:
    """Cut days so that a query joins a bounded number of rows."""
    at_once = max(1, SNAPSHOT_ROWS // n_tiles)
    return [days[i : i + at_once] for i in range(0, len(days), at_once)]


def prepare_snapshots(w: Warehouse, settings: Settings) -> None:
    """Make what snapshot queries read beside tables: what may be seen, and weights."""
    hold_snapshot_days(w, [])
    w.temporary("decay_weights", decay_weights(settings.features.interest_half_life_days))
    w.temporary("role_weights", role_weights(settings.features.role_weights))
    for tile in TILES:
        w.execute(f"create or replace temp view visible_{tile.table} as {VISIBLE[f'visible_{tile.table}']}")


def _stale_days(settings: Settings, lineage: Lineage) -> dg.AssetsDefinition:
    """Which kept snapshots late events, identities or versions have outdated: marked here, rebuilt by a later run."""
    spec = spec_of(STALE_DAYS, deps=lineage.tables, kinds={"duckdb"}, version="1", lineage=lineage)

    @dg.asset(**asset_arguments(spec))
    def stale_days(warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        w = warehouse
        mark_stale_days(w, settings)
        return dg.MaterializeResult(metadata=report_whole(w, STALE_DAYS))

    return stale_days


def mark_stale_days(w: Warehouse, settings: Settings) -> None:
    """Mark the snapshots that what changed, or other settings of features, have outdated, and unmark those built since.

    A day is no longer stale when all of its tables were built since it was marked. The newest days are rebuilt by every refresh,
    but a run of other days takes up what waits too, and leaves them as they were.
    """
    rebuilt = "select event_date from cleaned.touched where starts_with(consumer, $rebuilt) group by event_date having count(*) = 4"
    with w.transaction():
        w.execute(f"delete from features.stale_days where as_of_date in ({rebuilt})", {"rebuilt": REBUILT})
        w.execute(
            "insert into features.stale_days select s.as_of_date, 'events, identities or records of ' || cast(c.changed_date as varchar) || ' changed'"
            " from (select distinct as_of_date from features.user_features) as s"
            " cross join (select min(event_date) as changed_date from cleaned.touched where consumer = $consumer) as c"
            " where s.as_of_date >= c.changed_date"
            " and s.as_of_date not in (select as_of_date from features.stale_days)"
            f" and s.as_of_date not in ({rebuilt})",
            {"consumer": STALE_CONSUMER, "rebuilt": REBUILT},
        )
        if has_other_features(w.rows, settings):
            w.execute(
                "insert into features.stale_days select distinct as_of_date, 'settings of features changed' from features.user_features"
                f" where as_of_date not in (select as_of_date from features.stale_days) and as_of_date not in ({rebuilt})",
                {"rebuilt": REBUILT},
            )
        note_features(w, settings)
        w.execute(
            "delete from cleaned.touched where consumer = $consumer or starts_with(consumer, $rebuilt)",
            {"consumer": STALE_CONSUMER, "rebuilt": REBUILT},
        )
