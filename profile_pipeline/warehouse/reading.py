"""Reading the published copy, without the lease.

Not here: what is shown of it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from profile_pipeline.warehouse.opening import HARDENED, WarehouseError, without_progress_bar


class Serving:
    """The published copy, read-only."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise WarehouseError(
                f"{path} is not there: nothing has been published yet. Run `profile-pipeline run` first."
            )
        try:
            self._connection = duckdb.connect(str(path), read_only=True, config=HARDENED)
        except duckdb.IOException as error:
            raise WarehouseError(
                f"{path} can't be opened: {str(error).splitlines()[0]} Remove it: `profile-pipeline run` publishes it again."
            ) from None
        without_progress_bar(self._connection)
        self._connection.execute("set enable_external_access = false")
        self._connection.execute("set lock_configuration = true")

    def dicts(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return rows by column name."""
        return self._connection.sql(sql, params=dict(parameters or {})).to_arrow_table().to_pylist()

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
