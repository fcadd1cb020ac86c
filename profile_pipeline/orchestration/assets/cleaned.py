"""The assets of cleaned: events judged, sessions cut, identities and versions.

Not here: what makes an event count or a session end (`cleaned/`), or the transactions (`cleaning`, `sessions`).
"""

import datetime as dt
import hashlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pyarrow as pa

from profile_pipeline.cleaned.tables import (
    EVENTS,
    EXCLUDED_EVENTS,
    IDENTITIES,
    ITEMS,
    LEDGER,
    RELATIONS,
    SESSION_DAYS,
    SESSIONS,
    TOUCHED,
    USERS,
)
from profile_pipeline.orchestration.building.cleaning import judge_events, outdate_snapshots
from profile_pipeline.orchestration.building.days import OPEN_END, RunDays, daily_partitions, day_keys
from profile_pipeline.orchestration.building.sessions import cut_sessions
from profile_pipeline.orchestration.keeping.built_with import full_sources, note_full_sources
from profile_pipeline.orchestration.lineage import Lineage, LineageCache
from profile_pipeline.orchestration.table_assets import (
    asset_arguments,
    code_version,
    key_of,
    report_days,
    report_whole,
    require_judged,
    spec_of,
)
from profile_pipeline.paths import Paths
from profile_pipeline.settings import Settings
from profile_pipeline.table import Table
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.sql import bound, sql_file

KEY_VARIABLE = "PROFILE_PIPELINE_KEY"


def sql_parameters(settings: Settings) -> dict[str, Any]:
    """Return every parameter that SQL files bind and that the settings know."""
    secret = os.environ.get(KEY_VARIABLE, "")
    return {
        "timezone": settings.calendar.timezone,
        "calendar_start": settings.calendar.start,
        "calendar_end": settings.calendar.end or OPEN_END,
        "currency": settings.currency,
        "has_events": settings.has_events,
        "activity_days": settings.activity_days,
        "interests_per_kind": settings.features.interests_per_kind,
        "max_events_per_stream_day": settings.bots.max_events_per_stream_day,
        "bot_user_agents": settings.bots.user_agents,
        # Hashed to a fixed length first: what follows it can't be taken for a part of it.
        "key": hashlib.sha256(secret.encode()).hexdigest() if secret else "",
    }


def build_cleaned(
    settings: Settings, paths: Paths, lineages: LineageCache, declared: Mapping[str, Lineage]
) -> list[dg.AssetsDefinition]:
    """Return the assets of cleaned."""
    del paths
    daily = daily_partitions(settings.calendar)
    parameters = sql_parameters(settings)
    single_run = dg.BackfillPolicy.single_run()
    judging = ("identified_events", "duplicate_records", "bot_days", "excluded_events", "events")
    judging_version = code_version(
        *(sql_file(f"cleaned.{name}") for name in judging), settings.fingerprint("calendar", "bots", "currency")
    )
    events_lineage, excluded_lineage = (
        lineages.of(sql_file(f"cleaned.{name}")) for name in ("events", "excluded_events")
    )

    @dg.multi_asset(
        name="judged_events",
        specs=[
            spec_of(
                EVENTS,
                deps=["raw.events", "raw.files", "raw.pending"],
                kinds={"duckdb", "sql"},
                version=judging_version,
                lineage=events_lineage,
                partitions_def=daily,
            ),
            spec_of(
                EXCLUDED_EVENTS,
                deps=["raw.events", "raw.files", "raw.pending"],
                kinds={"duckdb", "sql"},
                version=judging_version,
                lineage=excluded_lineage,
                partitions_def=daily,
            ),
        ],
        backfill_policy=single_run,
    )
    def judged_events(
        context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> Iterator[dg.MaterializeResult]:
        run, w = RunDays.of(context), warehouse
        judged = judge_events(w, settings, run, newest=day_keys(daily)[-1], parameters=parameters, say=context.log.info)
        for table in (EVENTS, EXCLUDED_EVENTS):
            told = report_days(context, w, table, run=run, days=judged.days)
            yield dg.MaterializeResult(
                asset_key=key_of(table.name),
                metadata=told | {"touched_days": ", ".join(map(str, judged.touched_days)) or "none"},
            )

    ledger_text = sql_file("cleaned.ledger")
    ledger_lineage = lineages.of(ledger_text)
    ledger_spec = spec_of(
        LEDGER, deps=ledger_lineage.tables, kinds={"duckdb", "sql"}, version=code_version(ledger_text), lineage=ledger_lineage,
    )  # fmt: skip

    @dg.asset(**asset_arguments(ledger_spec))
    def ledger(warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """The rows are written with the events; here they are summed up."""
        w = warehouse
        sums = w.rows(
            "select coalesce(cast(sum(n_loaded) as bigint), 0), coalesce(cast(sum(n_cleaned) as bigint), 0), coalesce(cast(sum(n_excluded) as bigint), 0), coalesce(cast(sum(n_waiting) as bigint), 0) from cleaned.ledger"
        )[0]
        told = dict(zip(("events_loaded", "events_cleaned", "events_excluded", "events_waiting"), sums, strict=True))
        return dg.MaterializeResult(metadata=report_whole(w, LEDGER, **told))

    session_files = tuple(
        f"cleaned.{name}"
        for name in (
            "session_chains",
            "long_chain_events",
            "session_cuts",
            "session_events",
            "sessions",
            "session_days",
        )
    )
    session_version = code_version(*map(sql_file, session_files))

    @dg.multi_asset(
        name="cut_sessions",
        specs=[
            spec_of(
                table,
                deps=["cleaned.events"],
                kinds={"duckdb", "sql"},
                version=session_version,
                lineage=lineages.of(sql_file(table.name)),
                partitions_def=daily,
            )
            for table in (SESSIONS, SESSION_DAYS)
        ],
        backfill_policy=single_run,
    )
    def sessions(
        context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> Iterator[dg.MaterializeResult]:
        run, w = RunDays.of(context), warehouse
        require_judged(w, "cleaned.sessions", days=run.days)
        days = cut_sessions(w, run, events_per_chunk=settings.events_per_chunk, say=context.log.info)
        for table in (SESSIONS, SESSION_DAYS):
            yield dg.MaterializeResult(
                asset_key=key_of(table.name), metadata=report_days(context, w, table, run=run, days=days)
            )

    @dg.asset(**asset_arguments(spec_of(
        IDENTITIES, deps=["raw.events", "cleaned.events", "cleaned.users"], kinds={"duckdb", "sql"}, version=code_version(sql_file("cleaned.identities")), lineage=lineages.of(sql_file("cleaned.identities")),
    )))  # fmt: skip
    def identities(warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        w = warehouse
        text = sql_file("cleaned.identities")
        with w.transaction():
            removed, added = _replace_history(w, IDENTITIES, text, parameters)
        return dg.MaterializeResult(metadata=report_whole(w, IDENTITIES, rows_removed=removed, rows_added=added))

    return [
        judged_events,
        ledger,
        sessions,
        identities,
        *(_versions(table, settings, lineages, parameters) for table in (USERS, ITEMS, RELATIONS)),
        _touched(declared[TOUCHED.name]),
    ]


def _touched(lineage: Lineage) -> dg.AssetsDefinition:
    spec = spec_of(TOUCHED, deps=lineage.tables, kinds={"duckdb"}, version="1", lineage=lineage)

    @dg.asset(**asset_arguments(spec))
    def touched(warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """What still has to follow; every table deletes its own rows as it does."""
        return dg.MaterializeResult(metadata=report_whole(warehouse, TOUCHED))

    return touched


def _versions(
    table: Table, settings: Settings, lineages: LineageCache, parameters: dict[str, Any]
) -> dg.AssetsDefinition:
    """A table of versions: rewritten where it differs, and what a change outdates is noted."""
    text = sql_file(table.name)
    raw = f"raw.{table.table}"
    version = code_version(text, settings.fingerprint("calendar", "sources"))

    @dg.asset(
        **asset_arguments(
            spec_of(table, deps=[raw], kinds={"duckdb", "sql"}, version=version, lineage=lineages.of(text))
        )
    )
    def versions(warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        w = warehouse
        full = full_sources(settings, table.table)
        w.temporary("full_record_sources", pa.table({"source": pa.array(full, pa.string())}))
        with w.transaction():
            removed, added = _replace_history(w, table, text, parameters)
            note_full_sources(w, settings, table.table)
        w.drop("full_record_sources")
        return dg.MaterializeResult(metadata=report_whole(w, table, rows_removed=removed, rows_added=added))

    return versions


def _replace_history(w: Warehouse, table: Table, text: str, parameters: Mapping[str, Any]) -> tuple[int, int]:
    """Rewrite a table of intervals where it differs; return rows removed and added.

    Noted is the first day on which it reads otherwise than before: a row that was closed or opened, from its end on.
    """
    names = ", ".join(table.column_names)
    same = ", ".join(name for name in table.column_names if name != "valid_to")
    w.temporary("history_before", f"select {names} from {table.name}")
    counts = w.replace_all(table, text, bound(text, parameters))
    changed: dt.date | None = w.rows(
        f"select min(day) from (select case count(*) when 2 then min(valid_to) else min(valid_from) end as day from"
        f" ((from history_before except select {names} from {table.name}) union all (select {names} from {table.name} except from history_before))"
        f" group by {same})"
    )[0][0]
    w.drop("history_before")
    if changed is not None:
        outdate_snapshots(w, [changed])
    return counts
