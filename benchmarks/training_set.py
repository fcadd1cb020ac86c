"""A large training set written from a warehouse that is built: `python -m benchmarks.training_set DATA N_DAYS N_ROWS`.

As `profile-pipeline training-set labels.parquet` does, with as many columns of the user's own that there are 150 in all. Not here: what
the columns are.
"""

import argparse
import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import Measurement
from benchmarks.stages import SEED, bench_settings
from profile_pipeline.orchestration.resources import open_warehouse
from profile_pipeline.orchestration.training_sets import MEMORY_LIMIT, Told, ask_rows, write_training_set
from profile_pipeline.paths import Paths
from profile_pipeline.raw.readers.labels import read_labels
from profile_pipeline.raw.world.write import LAST_DAY

DAYS = 31
OWN_COLUMNS = 20


def write_labels(path: Path, people: list[str], n_rows: int) -> None:
    """Write rows of anybody at any second of the last days, with a label and columns of the user's own."""
    random = np.random.default_rng(SEED)
    first = np.datetime64(LAST_DAY - dt.timedelta(days=DAYS - 1), "s")
    columns = {
        "person": pa.array(people, pa.string()).take(pa.array(random.integers(0, len(people), n_rows))),
        "time": pa.array(first + random.integers(0, DAYS * 86_400, n_rows)),
        "label": pa.array(random.integers(0, 2, n_rows)),
        **{f"own_{number}": pa.array(random.normal(size=n_rows)) for number in range(OWN_COLUMNS)},
    }
    pq.write_table(pa.table(columns), path)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("n_days", type=int)
    parser.add_argument("n_rows", type=int)
    given = parser.parse_args()
    settings = bench_settings(given.n_days, memory_limit=MEMORY_LIMIT)
    paths = Paths(config=Path("profile.yaml"), data=given.data.absolute())
    warehouse = open_warehouse(settings, paths, owner="benchmark", say=lambda _: None, is_read_only=True)
    people = [alias for (alias,) in warehouse.rows("select distinct alias_id from cleaned.identities order by all")]
    labels, out, told, measured = given.data / "labels.parquet", given.data / "out.parquet", Told(), Measurement()
    write_labels(labels, people, given.n_rows)
    with measured.work():
        rows = read_labels(labels, timezone=settings.calendar.timezone)
        asked = ask_rows(warehouse, settings, rows, (settings.calendar.start, LAST_DAY), told)
        write_training_set(warehouse, settings, asked, out, told, lambda _: None)
    warehouse.close()
    written = pq.read_metadata(out)
    measured.more |= {"n_rows": written.num_rows, "n_columns": written.num_columns, "n_features": told.n_features}
    measured.tell()


if __name__ == "__main__":
    main()
