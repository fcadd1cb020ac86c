"""What is not there at all, and that no comparison of rows can see: days and weeks that Dagster says were built, files of the archive.

Not here: rows that differ (`verify`), or loading what is missing (`reloading`).
"""

import dagster as dg

from profile_pipeline.orchestration.catalogue import all_tables
from profile_pipeline.orchestration.keeping.reloading import lost_files
from profile_pipeline.orchestration.table_assets import ROWS_OF_PARTITION, key_of
from profile_pipeline.paths import Paths
from profile_pipeline.raw.archive import archived_path, told_by_sidecars
from profile_pipeline.raw.tables import FILES
from profile_pipeline.settings import Settings
from profile_pipeline.table import Table
from profile_pipeline.verification.compare import Difference
from profile_pipeline.warehouse.duckdb import Warehouse

# The column of a difference that is a file of which nothing was noted.
NOT_LOADED = "a row of its own"
# The rows of a difference that is a whole partition.
GONE = {"day": "all rows of the day", "week": "all rows of the week"}
# What was built from events day by day is balanced against raw, but for this.
BY_EVENT_DATE, DAILY_METRICS = "event_date", "applications.daily_metrics"


def missing(w: Warehouse, settings: Settings, paths: Paths, instance: dg.DagsterInstance) -> list[Difference]:
    """Return the days, weeks and files that should be there and are not."""
    tables = [
        t for t in all_tables(settings) if t.name == DAILY_METRICS or t.partition_column not in (None, BY_EVENT_DATE)
    ]
    return [*(gone for table in tables for gone in _missing_partitions(w, table, instance)), *_missing_files(w, paths)]


def _missing_partitions(w: Warehouse, table: Table, instance: dg.DagsterInstance) -> list[Difference]:
    """Days or weeks of which nothing is left, and that had rows when they were built last."""
    built = instance.get_materialized_partitions(key_of(table.name))
    if not built:
        return []
    present = {str(day) for day in w.days(f"select distinct {table.partition_column} from {table.name}")}
    unit = "week" if table.partition_column == "week" else "day"
    rows = ((partition, _rows_when_built(instance, table, partition)) for partition in sorted(built - present))
    return [
        Difference(table.name, GONE[unit], "", "none", f"{n:,} that were built", partition)
        for partition, n in rows
        if n
    ]


def _rows_when_built(instance: dg.DagsterInstance, table: Table, partition: str) -> int:
    of_partition = dg.AssetRecordsFilter(asset_key=key_of(table.name), asset_partitions=[partition])
    for record in instance.fetch_materializations(of_partition, limit=1).records:
        built = record.asset_materialization
        told = built.metadata.get(ROWS_OF_PARTITION) if built else None
        if isinstance(told, dg.IntMetadataValue):
            return told.value or 0
    return 0


def _missing_files(w: Warehouse, paths: Paths) -> list[Difference]:
    """Files that were delivered and are in no table, or not as they were delivered; those that wait where they were delivered are no loss."""
    delivered = told_by_sidecars(paths.archive)[0]
    rows = w.rows(f"select file_id, path, size_bytes, arrived_at from {FILES.name}")
    noted = {(file_id, path): (size_bytes, arrived_at) for file_id, path, size_bytes, arrived_at in rows}
    known = {file_id for file_id, _ in noted}
    found = [
        Difference(FILES.name, f"file_id {file_id}", NOT_LOADED, "none", "one: the archive holds the file")
        for file_id in sorted(lost_files(paths, delivered, known=known))
    ]
    for d in delivered:
        row = f"file_id {d.file_id}, path {d.path}"
        if (d.file_id, d.path) in noted:
            size_bytes, arrived_at = noted[d.file_id, d.path]
            copy = archived_path(paths.archive, d.file_id)
            # Bytes that are gone or others are told where the archive is read.
            told: list[tuple[str, object, object]] = [("arrived_at", arrived_at, d.arrived_at)]
            told += [("size_bytes", size_bytes, copy.stat().st_size)] if copy.exists() else []
            found += [Difference(FILES.name, row, name, str(a), str(b)) for name, a, b in told if a != b]
        elif d.file_id in known and not (paths.landing / d.path).exists():
            found.append(Difference(FILES.name, row, "path", "none", "one: it was delivered under this name too"))
    return found
