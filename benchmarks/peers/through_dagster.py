"""The reference job through Dagster: the SQL of `duckdb_sql`, one asset a statement, in this project's warehouse file.

Not here: the SQL, or what the pipeline itself computes.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from benchmarks.peers.duckdb_sql import STATEMENTS, parameters
from benchmarks.peers.reference import RESULTS, Job, run_peer
from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.opening import HARDENED


class OpenWarehouse(Warehouse):
    """The warehouse, with the raw Parquet file in reach."""

    raw: Path

    def create(self, tables: object) -> None:
        self.connection.execute(f"create or replace view raw as select * from read_parquet('{self.raw}')")


def asset_of(name: str, statement: str, upstream: str | None, job: Job, warehouse: Warehouse) -> dg.AssetsDefinition:
    """Return the asset of a statement."""

    @dg.asset(name=name, deps=[upstream] if upstream else [])
    def built() -> dg.MaterializeResult:
        warehouse.execute(statement, parameters(job, statement))
        return dg.MaterializeResult(metadata={"dagster/row_count": warehouse.scalar(f"select count(*) from {name}")})

    return built


def assets_of(statements: Mapping[str, str], job: Job, warehouse: Warehouse) -> list[dg.AssetsDefinition]:
    """Return the assets, each after the one before."""
    names = list(statements)
    return [
        asset_of(name, statements[name], names[i - 1] if i else None, job, warehouse) for i, name in enumerate(names)
    ]


def compute(job: Job) -> None:
    home = job.out / "home"
    home.mkdir(exist_ok=True)
    os.environ["DAGSTER_HOME"] = str(home.absolute())
    assert HARDENED
    folder = job.raw.absolute().parent
    warehouse = OpenWarehouse(folder / "reference.duckdb", owner="benchmark", say=lambda _: None)
    warehouse.raw = job.raw.absolute()
    with dg.DagsterInstance.get() as instance:
        result = dg.materialize(assets_of(STATEMENTS, job, warehouse), instance=instance)
        assert result.success
    for name in RESULTS:
        warehouse.connection.execute(f"copy {name} to '{folder / (name + '.parquet')}'").fetchall()
    warehouse.close()
    for name in RESULTS:
        (folder / f"{name}.parquet").replace(job.result(name))


if __name__ == "__main__":
    run_peer(compute)
