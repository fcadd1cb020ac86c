"""Files that the archive holds and the warehouse does not know: their commit was lost with a write-ahead log, or with the database.

They are loaded again from the archive. Not here: loading (`ingesting`), or the archive itself (`raw.archive`).
"""

import json
from collections.abc import Mapping

from profile_pipeline.paths import Paths
from profile_pipeline.raw.archive import DamagedArchiveError, archived_path, verified_path
from profile_pipeline.raw.landing import LandingFile, matches
from profile_pipeline.source_settings import SourceSettings
from profile_pipeline.warehouse.duckdb import Warehouse


def lost_ids(warehouse: Warehouse, paths: Paths) -> list[str]:
    """Return the ids of archived files that no row of `raw.files` tells of."""
    archived = {sidecar.stem for sidecar in paths.archive.glob("??/*.json")}
    return sorted(archived - {file_id for (file_id,) in warehouse.rows("select distinct file_id from raw.files")})


def lost_files(
    warehouse: Warehouse, paths: Paths, sources: Mapping[str, SourceSettings]
) -> tuple[list[LandingFile], list[str]]:
    """Return the lost files as they lie in the archive, under the names under which they were delivered last, and what is wrong
    with those that are damaged.
    """
    found, faults = [], []
    for file_id in lost_ids(warehouse, paths):
        try:
            path = verified_path(paths.archive, file_id)
            name = json.loads(archived_path(paths.archive, file_id).with_suffix(".json").read_text(encoding="utf-8"))[-1]["path"]  # fmt: skip
        except DamagedArchiveError as error:
            faults.append(str(error))
            continue
        status = path.stat()
        claimed = next((key for key, source in sources.items() if matches(name, source.path)), None)
        found.append(
            LandingFile(path=path, name=name, source=claimed, size_bytes=status.st_size, modified_ns=status.st_mtime_ns)
        )
    return found, faults
