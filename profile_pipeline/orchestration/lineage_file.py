"""Write the lineage of the shipped configuration into the package: `python -m profile_pipeline.orchestration.lineage_file`.

Definitions are loaded by the webserver, the daemon and every run: without the file each pays seconds. Not here: lineage.
"""

from pathlib import Path

from profile_pipeline.orchestration.build import build_assets, lineage_cache
from profile_pipeline.orchestration.lineage import CACHE_FILE
from profile_pipeline.paths import Paths
from profile_pipeline.settings_file import load_settings


def main() -> None:
    """Build all assets once and keep the lineage that they used."""
    paths = Paths.from_environment()
    settings = load_settings(paths.config)
    cache = lineage_cache()
    build_assets(settings, paths, cache)
    cache.write(Path(__file__).with_name(CACHE_FILE))


if __name__ == "__main__":
    main()
