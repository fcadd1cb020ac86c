"""The assets of raw: one step loads what has landed and says what became of it.

Not here: how files are read or rows written (`orchestration.ingesting`).
"""

import datetime as dt
import time
from collections.abc import Iterator

import dagster as dg

from profile_pipeline.orchestration.ingesting import ingest_files
from profile_pipeline.orchestration.table_assets import code_version, key_of, report_whole, source_version, spec_of
from profile_pipeline.paths import Paths
from profile_pipeline.raw.landing import complete_files
from profile_pipeline.raw.tables import TABLES
from profile_pipeline.settings import Settings
from profile_pipeline.warehouse.duckdb import Warehouse


def build_raw(settings: Settings, paths: Paths) -> list[dg.AssetsDefinition]:
    """Return the assets of raw."""
    version = code_version(source_version("raw", "raw/readers"), settings.fingerprint("sources", "calendar"))

    @dg.multi_asset(
        name="landed_files", specs=[spec_of(table, kinds={"duckdb", "python"}, version=version) for table in TABLES]
    )
    def ingest(
        context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
    ) -> Iterator[dg.MaterializeResult]:
        w = warehouse
        files = complete_files(
            paths.landing, settings.sources, now_seconds=time.time(), stable_seconds=settings.stable_seconds
        )
        if not files:
            context.log.warning(f"no complete file has landed in {paths.landing}: nothing to load")
        now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
        done = ingest_files(w, settings, paths, files, now=now, say=context.log.info)
        for name, n in (
            ("refused as a whole", done.n_refused),
            ("claimed by no source", done.n_unclaimed),
            (
                f"left where they are, not complete or not readable ({'; '.join(done.left_alone[:5])})",
                len(done.left_alone),
            ),
        ):
            if n:
                context.log.warning(f"{n} files {name}; see raw.files")
        told = {
            "files_loaded": done.n_files, "files_duplicate": done.n_duplicates, "files_refused": done.n_refused, "files_of_no_source": done.n_unclaimed,
            "files_left_alone": len(done.left_alone),
            "records": done.n_records, "records_loaded": done.n_loaded, "records_rejected": done.n_rejected,
        }  # fmt: skip
        for table in TABLES:
            yield dg.MaterializeResult(asset_key=key_of(table.name), metadata=report_whole(w, table, **told))

    return [ingest]
