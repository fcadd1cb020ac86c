"""Many small files loaded in one run: `python -m benchmarks.small_files LANDING DATA N_FILES`.

Lines of a world's web files, a few in a file each. Not here: large files (`readers`).
"""

import argparse
import gzip
import itertools
from collections.abc import Iterator
from pathlib import Path

import duckdb

from benchmarks.measure import Measurement
from benchmarks.stages import bench_settings, runner_of

LINES_A_FILE = 5


def _lines(web: Path) -> Iterator[bytes]:
    for path in sorted(web.iterdir()):
        yield from gzip.decompress(path.read_bytes()).splitlines(keepends=True)[1:]


def prepare(landing: Path, data: Path, n_files: int) -> None:
    """Write the files, each with the header."""
    target = data / "landing" / "web"
    target.mkdir(parents=True)
    header = gzip.decompress(min((landing / "web").iterdir()).read_bytes()).splitlines(keepends=True)[0]
    lines = _lines(landing / "web")
    for number in range(n_files):
        (target / f"part_{number:05}.csv").write_bytes(header + b"".join(itertools.islice(lines, LINES_A_FILE)))


def load(data: Path) -> Measurement:
    """Load them all as the ingest job does, in one run."""
    settings = bench_settings(90)
    web = settings.sources["web"].model_copy(update={"path": "web/*.csv"})
    runner = runner_of(data, settings.model_copy(update={"sources": {"web": web}, "stable_seconds": 0}))
    measured = Measurement()
    with measured.work():
        runner.ingest()
    with duckdb.connect(str(runner.paths.warehouse), read_only=True) as connection:
        loaded = connection.execute("select count(*), sum(n_records) from raw.files where status = 'loaded'").fetchall()
    measured.more |= dict(zip(("n_files", "n_records"), map(int, loaded[0]), strict=True))
    return measured


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("landing", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("n_files", type=int)
    given = parser.parse_args()
    prepare(given.landing, given.data, given.n_files)
    load(given.data).tell()


if __name__ == "__main__":
    main()
