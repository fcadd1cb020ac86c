"""The data dictionary as an asset: it ends the daily path, so that it is there after the first run and never older than the tables.

Not here: the page (`applications.dictionary`).
"""

from collections.abc import Iterable, Sequence

import dagster as dg

from profile_pipeline.applications.dictionary import Entry, render_dictionary
from profile_pipeline.orchestration.building.cleaning import DICTIONARY, OLDER
from profile_pipeline.orchestration.catalogue import all_tables
from profile_pipeline.orchestration.table_assets import DICTIONARY_PAGE, OWNERS, code_version, key_of
from profile_pipeline.paths import Paths
from profile_pipeline.settings import Settings
from profile_pipeline.table import Table, quote_identifier
from profile_pipeline.warehouse.duckdb import Warehouse


def build_dictionary(settings: Settings, paths: Paths, others: Iterable[dg.AssetsDefinition]) -> dg.AssetsDefinition:
    """Return the asset of the dictionary of all others."""
    tables = all_tables(settings)
    specs = {spec.key: spec for assets in others for spec in assets.specs}

    @dg.asset(
        key=dg.AssetKey(["applications", "dictionary"]), deps=[key for key in specs if key.path[0] == "applications"], group_name="applications",
        kinds={"python", "html"}, owners=OWNERS, tags={"stage": "applications"}, code_version=code_version(*map(repr, tables)),
        metadata={"page": dg.MetadataValue.url(DICTIONARY_PAGE)},
        description="Every table and column: what it means, where it comes from and goes to; data/reports/dictionary.html.",
    )  # fmt: skip
    def dictionary(warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        entries = [entry_of(table, specs.get(key_of(table.name)), warehouse) for table in tables]
        paths.reports.mkdir(parents=True, exist_ok=True)
        weeks = sorted((path.parent.name for path in paths.reports.glob("*/index.html")), reverse=True)
        path = paths.reports / "dictionary.html"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(render_dictionary(entries, weeks=weeks), encoding="utf-8")
        temporary.replace(path)
        warehouse.execute("delete from cleaned.touched where consumer = $consumer", {"consumer": OLDER + DICTIONARY})
        return dg.MaterializeResult(
            metadata={
                "page": dg.MetadataValue.url(DICTIONARY_PAGE),
                "n_tables": len(entries),
                "n_columns": sum(len(entry.table.columns) for entry in entries),
                "n_columns_with_lineage": sum(len(entry.sources or {}) for entry in entries),
                "size_bytes": path.stat().st_size,
            }
        )

    return dictionary


def entry_of(table: Table, spec: dg.AssetSpec | None, w: Warehouse) -> Entry:
    """Return what the dictionary tells of a table: its asset's lineage, and how many rows it holds now."""
    lineage = spec.metadata.get("dagster/column_lineage") if spec else None
    sources = lineage.deps_by_column if isinstance(lineage, dg.TableColumnLineage) else {}
    newest, n_newest = None, None
    if table.partition_column:
        day = quote_identifier(table.partition_column)
        newest, n_newest = w.rows(
            f"select {day}, count(*) from {table.name} where {day} = (select max({day}) from {table.name}) group by all"
            f" union all select null, 0 where not exists (from {table.name})"
        )[0]
    return Entry(
        table=table,
        reads=tuple(sorted(".".join(dep.asset_key.path) for dep in spec.deps)) if spec else (),
        sources={name: _names(found) for name, found in sources.items()},
        n_rows=w.scalar(f"select count(*) from {table.name}"),
        newest=newest,
        n_newest=n_newest,
    )


def _names(found: Sequence[dg.TableColumnDep]) -> list[tuple[str, str]]:
    return sorted((".".join(dep.asset_key.path), dep.column_name) for dep in found)
