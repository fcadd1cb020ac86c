"""Asset checks: keys, types, the laws of counting and of time. Blocking where a wrong table would be worse than a late one.

Each is one query for rows that break a law; what it finds is counted, and days and keys are told, never a person's row. Not
here: laws that are asserted inside a transaction (`cleaning`).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import dagster as dg

from profile_pipeline.orchestration.building.days import SEED_TAG
from profile_pipeline.orchestration.catalogue import all_tables
from profile_pipeline.orchestration.jobs import VERIFIED
from profile_pipeline.orchestration.keeping.behind import has_new_versions, is_outscored
from profile_pipeline.orchestration.table_assets import key_of
from profile_pipeline.orchestration.verifying.missing import missing
from profile_pipeline.orchestration.verifying.verify import NothingBuiltError, verify
from profile_pipeline.paths import Paths
from profile_pipeline.settings import Settings
from profile_pipeline.table import Table, quote_identifier
from profile_pipeline.warehouse.duckdb import Warehouse

# People whom the check of each night looks at.
VERIFIED_PEOPLE = 10


@dataclass(frozen=True)
class Law:
    """A law of a table, with the query for what breaks it: (what, how many)."""

    table: str
    name: str
    description: str
    query: str
    is_blocking: bool


LAWS: tuple[Law, ...] = (
    Law(
        "raw.files", "file_counts", "Of every file, records = loaded + rejected + suppressed.",
        "select left(file_id, 12), 1 from raw.files where n_records <> n_loaded + n_rejected + n_suppressed", True,
    ),
    Law(
        "raw.files", "claimed", "Every file belongs to a source, and none was refused as a whole.",
        "select left(file_id, 12) || ': ' || coalesce(split_part(reason, ':', 1), 'unknown'), 1 from raw.files where status = 'rejected' order by loaded_at desc, path", False,
    ),
    Law(
        "raw.rejected_records", "reject_rate", "At most one record in twenty of a source is rejected.",
        "select source, cast(sum(n_rejected) as bigint) from raw.files where status = 'loaded' group by source having sum(n_rejected) > 0.05 * sum(n_records)", False,
    ),
    Law(
        "cleaned.events", "event_counts", "Of every day of a file, loaded = cleaned + excluded + waiting.",
        "select cast(event_date as varchar), count(*) from cleaned.ledger where n_loaded <> n_cleaned + n_excluded + n_waiting group by all", True,
    ),
    Law(
        "cleaned.events", "ids_unique", "An event_id stands once, over all days.",
        # The hash finds candidates: a table of all ids would be several times as large.
        "with suspects as (select hash(event_id) as id_hash from cleaned.events group by id_hash having count(*) > 1)"
        " select cast(min(event_date) as varchar), count(*) from cleaned.events semi join suspects on id_hash = hash(event_id)"
        " group by event_id having count(*) > 1", True,
    ),
    Law(
        "cleaned.identities", "one_profile", "An alias belongs to one profile at a time.",
        "select cast(valid_from as varchar), 1 from (select *, lead(valid_from) over (partition by alias_id order by valid_from) as next_from from cleaned.identities)"
        " where next_from < coalesce(valid_to, date '9999-12-31') or valid_from >= valid_to", True,
    ),
    Law(
        "features.behavior", "no_future", "No snapshot has seen an event after its day.",
        "select cast(as_of_date as varchar), count(*) from features.behavior where last_event_date > as_of_date group by all", True,
    ),
    Law(
        "profiles.scores", "week_ended", "No score comes from a model whose week had not ended before the day.",
        "select cast(as_of_date as varchar), count(*) from profiles.scores where week + 7 > as_of_date group by all", True,
    ),
    Law(
        "profiles.tags", "predicted_behind_gate", "A predicted tag comes from a model that passed its gate.",
        "select tag, count(*) from profiles.tags as t where kind = 'predicted' and not exists (select 1 from evaluation.gates as g where g.is_passed"
        " and g.model = json_extract_string(t.evidence, '$.model') and cast(g.week as varchar) = json_extract_string(t.evidence, '$.week')) group by all", True,
    ),
    Law(
        "evaluation.gates", "gate_passed", "The newest model passed its gate; else the last good week goes on serving.",
        "select model, 1 from evaluation.gates where week = (select max(week) from evaluation.gates) and not is_passed", False,
    ),
)  # fmt: skip
KEYED = (
    "features.user_days",
    "features.behavior",
    "features.demand",
    "features.user_features",
    "profiles.user_profiles",
    "applications.recommendations",
)


def _key_law(table: Table) -> Law:
    key = ", ".join(quote_identifier(name) for name in table.key)
    day = table.partition_column or "null"
    return Law(
        table.name, "key", f"({', '.join(table.key)}) identifies a row.",
        f"select cast({day} as varchar), count(*) from (select {key}, count(*) as n from {table.name} group by {key} having n > 1) group by all", True,
    )  # fmt: skip


def build_checks(settings: Settings, paths: Paths) -> list[dg.AssetChecksDefinition]:
    """Return the checks."""
    tables = {table.name: table for table in all_tables(settings)}
    laws = [_check(law) for law in (*LAWS, *(_key_law(tables[name]) for name in KEYED))]
    return [*laws, _verified(settings, paths)]


def _verified(settings: Settings, paths: Paths) -> dg.AssetChecksDefinition:
    """Tables of a few people and days beside what their records say: run by a schedule, and by no run that builds.

    Dagster takes every check of an asset along where a run selects the asset: such a run skips this one, which costs more than
    many a run and has a night of its own.
    """
    spec = dg.AssetCheckSpec(
        VERIFIED.name,
        asset=VERIFIED.asset_key,
        description="Tables of sampled people and days say what their records in raw say, computed by other code.",
    )

    @dg.multi_asset_check(name="features__user_features_verified", specs=[spec], can_subset=True)
    def verified(
        context: dg.AssetCheckExecutionContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> Iterator[dg.AssetCheckResult]:
        if not context.run.asset_selection:
            yield compared(context, warehouse)

    def compared(context: dg.AssetCheckExecutionContext, warehouse: Warehouse) -> dg.AssetCheckResult:
        seed = context.run.tags.get(SEED_TAG)
        new = has_new_versions(warehouse, context.instance, settings)
        try:
            verdict = verify(
                warehouse,
                settings,
                n_people=VERIFIED_PEOPLE,
                has_new_versions=new,
                is_outscored=partial(is_outscored, context.instance),
                seed=seed,
                missing=missing(warehouse, settings, paths, context.instance),
                archive=paths.archive,
            )
        except NothingBuiltError as nothing:
            return dg.AssetCheckResult(
                passed=True, check_name=VERIFIED.name, asset_key=VERIFIED.asset_key, metadata={"where": str(nothing)}
            )
        places = Counter((d.table, d.column or "rows", d.day or "no day") for d in verdict.differences)
        told = ", ".join(f"{' '.join(place)} ({n})" for place, n in sorted(places.items())[:20])
        command = f"profile-pipeline verify --sample {VERIFIED_PEOPLE}" + (f" --seed {seed}" if seed else "")
        return dg.AssetCheckResult(
            passed=not verdict.differences,
            check_name=VERIFIED.name,
            asset_key=VERIFIED.asset_key,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={
                "n_broken": len(verdict.differences), "where": told or "nowhere", "n_people": verdict.n_people, "n_days": len(verdict.days),
                "n_cells": sum(verdict.comparison.n_cells.values()), "n_files_read_again": verdict.archive.n_files, "left_out": "; ".join([*verdict.behind, *sorted(verdict.left_out)]) or "nothing", "to_see_it": command,
            },
        )  # fmt: skip

    return verified


def _check(law: Law) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=key_of(law.table), name=law.name, description=law.description, blocking=law.is_blocking)
    def check(warehouse: dg.ResourceParam[Warehouse]) -> dg.AssetCheckResult:
        faults = warehouse.rows(f"select * from ({law.query}) limit 1000")
        listed = ", ".join(f"{what} ({n})" for what, n in faults[:20])
        return dg.AssetCheckResult(
            passed=not faults,
            severity=dg.AssetCheckSeverity.ERROR if law.is_blocking else dg.AssetCheckSeverity.WARN,
            metadata={"n_broken": len(faults), "where": listed or "nowhere", "law": law.description},
        )

    return check
