"""Where things are: the configuration, and everything under the data folder.

The only reading of the environment for places. Not here: what is in the files.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

CONFIG_VARIABLE = "PROFILE_PIPELINE_CONFIG"
DATA_VARIABLE = "PROFILE_PIPELINE_DATA"


@dataclass(frozen=True)
class Paths:
    """Where things are: the configuration and everything under the data folder."""

    config: Path
    data: Path
    # Another folder's archive, for tables that are built anew beside those that stand.
    shared_archive: Path | None = None

    @classmethod
    def from_environment(cls, *, config: Path | None = None, data: Path | None = None) -> Self:
        """Take what is given, else the environment, else `profile.yaml` and `data` of the working folder."""
        return cls(
            config=(config or Path(os.environ.get(CONFIG_VARIABLE, "profile.yaml"))).absolute(),
            data=(data or Path(os.environ.get(DATA_VARIABLE, "data"))).absolute(),
        )

    @property
    def landing(self) -> Path:
        return self.data / "landing"

    @property
    def archive(self) -> Path:
        return self.shared_archive or self.data / "archive"

    @property
    def warehouse(self) -> Path:
        return self.data / "profile.duckdb"

    @property
    def serving_is_behind(self) -> Path:
        """There while the published copy may lack what the warehouse holds."""
        return self.data / "serving.behind"

    @property
    def serving(self) -> Path:
        return self.data / "serving.duckdb"

    @property
    def reports(self) -> Path:
        return self.data / "reports"

    @property
    def exports(self) -> Path:
        return self.data / "exports"

    @property
    def dagster_home(self) -> Path:
        return self.data / "dagster_home"

    @property
    def ui_lock(self) -> Path:
        """Held while the UI of this data folder runs."""
        return self.data / "ui.lock"

    @property
    def rebuilding(self) -> Path:
        """Where tables are built anew, until they take the place of those that stand."""
        return self.data / "rebuilding"

    @property
    def restoring(self) -> Path:
        """Where a backup is unpacked before it takes the place of what is there."""
        return self.data / "restoring"

    @property
    def replaced(self) -> Path:
        """Where what a backup replaces lies until all of it is replaced."""
        return self.data / "replaced"

    @property
    def backups(self) -> Path:
        return self.data / "backups"

    @property
    def truth(self) -> Path:
        return self.data / "truth"

    @property
    def own_folders(self) -> tuple[Path, ...]:
        """All folders that the installation fills and empties by itself: whatever else is put there is read, replaced or removed."""
        return (
            self.landing, self.archive, self.truth, self.reports, self.exports, self.dagster_home, self.rebuilding, self.restoring,
            self.replaced,
        )  # fmt: skip
