"""The assets of raw: one step loads what has landed and says what became of it.

Not here: how files are read or rows written (`orchestration.building.ingesting`).
"""

import datetime as dt
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from profile_pipeline.orchestration.building.days import RECOVER_TAG, RELOAD_TAG
from profile_pipeline.orchestration.building.ingesting import Ingested, ingest_files
from profile_pipeline.orchestration.keeping.built_with import require_same
from profile_pipeline.orchestration.keeping.recovering import Selection, recover
from profile_pipeline.orchestration.keeping.reloading import lost_ids, reload_files
from profile_pipeline.orchestration.lineage import Lineage
from profile_pipeline.orchestration.table_assets import code_version, key_of, report_whole, source_version, spec_of
from profile_pipeline.paths import Paths
from profile_pipeline.raw.landing import complete_files, not_followed
from profile_pipeline.raw.tables import TABLES
from profile_pipeline.settings import Settings
from profile_pipeline.source_settings import ListSettings
from profile_pipeline.table import Table
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.wording import counted


def build_raw(settings: Settings, paths: Paths, declared: Mapping[str, Lineage]) -> list[dg.AssetsDefinition]:
    """Return the assets of raw."""
    version = code_version(source_version("raw", "raw/readers"), settings.fingerprint("sources", "calendar"))

    @dg.multi_asset(
        name="landed_files",
        specs=[
            spec_of(table, kinds={"duckdb", "python"}, version=version, lineage=declared[table.name]).merge_attributes(
                metadata=_mapping(table, settings)
            )
            for table in TABLES
        ],
    )
    def ingest(
        context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> Iterator[dg.MaterializeResult]:
        w = warehouse
        tags, more = context.run.tags, dict[str, int]()
        with w.transaction():
            # Under the lease: whoever has followed what was loaded so far has done so before.
            now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
        if asked := tags.get(RECOVER_TAG):
            # What has landed meanwhile waits for its own ingest, which looks at all mappings.
            found = recover(w, settings, paths, Selection.parsed(asked), now=now, say=context.log.info)
            done = Ingested()
            more = {"records_recovered": found.n_recovered, "records_still_rejected": found.n_still_rejected}
        elif RELOAD_TAG in tags:
            done = reload_files(w, settings, paths, say=context.log.info)
        else:
            require_same(w, settings, paths)
            files = complete_files(
                paths.landing, settings.sources, now_seconds=time.time(), stable_seconds=settings.stable_seconds
            )
            if not files:
                context.log.warning(f"no complete file has landed in {paths.landing}: nothing to load")
            done = ingest_files(w, settings, paths, files, now=now, say=context.log.info)
            done.left_alone += [why for _, why in not_followed(paths.landing)]
            if lost := lost_ids(w, paths):
                context.log.warning(
                    f"{counted(len(lost), 'file')} of the archive not in the warehouse, to be loaded again"
                )
                done = done + reload_files(w, settings, paths, say=context.log.info)
        for name, n in (
            ("refused as a whole", done.n_refused),
            ("claimed by no source", done.n_unclaimed),
            (
                f"left where they are ({'; '.join(f'{n} {why}' for why, n in Counter(done.left_alone).most_common(5))})",
                len(done.left_alone),
            ),
        ):
            if n:
                context.log.warning(f"{counted(n, 'file')} {name}; see raw.files")
        told = more | {
            "files_loaded": done.n_files, "files_duplicate": done.n_duplicates, "files_refused": done.n_refused, "files_of_no_source": done.n_unclaimed,
            "files_left_alone": len(done.left_alone), "files_changed": _n_changed(w, now),
            "records": done.n_records, "records_loaded": done.n_loaded, "records_rejected": done.n_rejected,
        }  # fmt: skip
        for table in TABLES:
            yield dg.MaterializeResult(asset_key=key_of(table.name), metadata=report_whole(w, table, **told))

    return [ingest]


def _n_changed(w: Warehouse, now: dt.datetime) -> int:
    """Count the files of a load whose name was delivered before with other bytes: a correction, or bits that rot where it lies."""
    n: int = w.scalar(
        "select count(*) from raw.files as f where f.loaded_at = $now and exists (select 1 from raw.files as o"
        " where o.path = f.path and o.file_id <> f.file_id and o.loaded_at < $now)",
        {"now": now},
    )
    return n


def _mapping(table: Table, settings: Settings) -> dict[str, Any]:
    """Say of which columns of the files a table's columns are made: its lineage begins outside of Dagster."""
    rows = [
        f"| {ours} | {name} | {_written(theirs)} |"
        for name, source in settings.sources.items()
        if source.table == table.table
        for ours, theirs in source.mapped.items()
    ]
    header = ["| column | source | made of |", "| --- | --- | --- |"]
    return {"mapping": dg.MetadataValue.md("\n".join([*header, *rows]))} if rows else {}


def _written(theirs: str | ListSettings) -> str:
    told = (
        theirs
        if isinstance(theirs, str)
        else ", ".join(f"{k}: {v}" for k, v in theirs.model_dump(exclude_none=True).items())
    )
    # A bar would end the cell.
    return "`" + told.replace("|", "\\|") + "`"
