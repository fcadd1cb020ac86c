"""What loading the project's definitions costs, as each process of Dagster does: `python -m benchmarks.definitions`.

Imports of Dagster and all else are part of it. Not here: what is defined.
"""

import importlib

from benchmarks.measure import Measurement

if __name__ == "__main__":
    measured = Measurement()
    with measured.work():
        importlib.import_module("profile_pipeline.definitions")
    measured.tell()
