"""Loading a file of each format, beside DuckDB's own reader of it into a typed table: `python -m benchmarks.readers WHO FORMAT FOLDER`.

Ours loses and invents nothing on damaged input, keeps the bytes and what it refuses, and loads 36 columns; the bare reader is told
to skip what it can't read and types the same columns of theirs. One record in a thousand of the text files is damaged. Not here:
how a file is read.
"""

import argparse
import datetime as dt
import gzip
import json
import shutil
from pathlib import Path

import duckdb
import pandas as pd

from benchmarks.measure import Measurement, size_of
from benchmarks.stages import bench_settings
from profile_pipeline.orchestration.building.ingesting import ingest_files
from profile_pipeline.orchestration.resources import open_warehouse
from profile_pipeline.paths import Paths
from profile_pipeline.raw.landing import LandingFile

FORMATS = ("csv", "jsonl", "parquet")
DAMAGED_ONE_IN = 1000
CSV_TYPES = {
    "id": "varchar", "ts": "timestamp", "received": "timestamp", "cookie": "varchar", "uid": "varchar", "session": "varchar", "action": "varchar",
    "sku": "varchar", "category": "varchar", "qty": "decimal(18,4)", "unit_price": "decimal(18,4)", "currency": "varchar", "stars": "decimal(18,4)",
    "q": "varchar", "url": "varchar", "referrer": "varchar", "utm_campaign": "varchar", "device": "varchar", "ua": "varchar", "ip": "varchar",
    "country": "varchar", "city": "varchar",
}  # fmt: skip
JSON_TYPES = {
    "messageId": "varchar", "event": "varchar", "timestamp": "timestamp", "receivedAt": "timestamp", "userId": "varchar", "sessionId": "varchar",
    "context": "struct(device struct(id varchar, \"type\" varchar), userAgent varchar)",
    "properties": "struct(product_id varchar, category varchar, quantity decimal(18,4), price decimal(18,4), currency varchar, value decimal(18,4),"
    " query varchar, order_id varchar, campaign varchar, city varchar)",
}  # fmt: skip


class LostRecordsError(Exception):
    """What was loaded and refused is not what was written into the file: figures of such a reader mean nothing."""


def prepare(landing: Path, folder: Path, n_records: int) -> None:
    """Make one file of each format of about so many records, from the daily files of a world, and note how many it holds."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for source, name in (("web", "csv"), ("app", "jsonl")):
        written[name] = 0
        with (folder / f"records.{name}").open("wb") as out:
            for path in sorted((landing / source).iterdir()):
                lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
                header = lines[:1] if name == "csv" else []
                if written[name] == 0:
                    out.writelines(header)
                for line in lines[len(header) :]:
                    written[name] += 1
                    out.write(_damaged(line, name) if written[name] % DAMAGED_ONE_IN == 0 else line)
                if written[name] >= n_records:
                    break
    connection = duckdb.connect()
    copied = connection.execute(
        f"copy (select * from {bare_reader('csv', folder / 'records.csv')}) to '{folder / 'records.parquet'}' (compression zstd)"
    ).fetchall()
    written["parquet"] = copied[0][0]
    (folder / "written.json").write_text(json.dumps(written), encoding="utf-8")


def _damaged(line: bytes, name: str) -> bytes:
    """Return a record whose time is none, or of which half is missing."""
    return line[: len(line) // 2] + b"\n" if name == "jsonl" else line.replace(b"T", b" of ", 1)


def bare_reader(kind: str, path: Path) -> str:
    """Return DuckDB's own reader of a file, as a table function with types."""
    if kind == "parquet":
        return f"read_parquet('{path}')"
    types = CSV_TYPES if kind == "csv" else JSON_TYPES
    columns = ", ".join(f"'{name}': '{kind_of}'" for name, kind_of in types.items())
    more = "header = true, strict_mode = false" if kind == "csv" else "format = 'newline_delimited'"
    return f"read_{'csv' if kind == 'csv' else 'json'}('{path}', columns = {{{columns}}}, ignore_errors = true, {more})"


def bare(kind: str, path: Path) -> Measurement:
    """Read a file into a table of a new database file, checkpoint included."""
    database = path.with_suffix(".bare.duckdb")
    database.unlink(missing_ok=True)
    columns = "*"
    if kind == "jsonl":
        columns = "* exclude (context, properties), context.device.id as device_id, unnest(properties)"
    measured = Measurement()
    connection = duckdb.connect(str(database), config={"storage_compatibility_version": "v1.5.0"})
    connection.execute("set enable_progress_bar = false")
    with measured.work():
        connection.execute(f"create table records as select {columns} from {bare_reader(kind, path)}").fetchall()
        connection.execute("checkpoint").fetchall()
    measured.more["n_records"] = connection.execute("select count(*) from records").fetchall()[0][0]
    database.unlink()
    return measured


def ours(kind: str, path: Path) -> Measurement:
    """Load a file as the ingest job does: archive, rows, rejects, pending, ledger, checkpoint."""
    data = path.parent / f"data_{kind}"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    settings = bench_settings(90)
    name = "app" if kind == "jsonl" else "web"
    source = settings.sources[name].model_copy(update={"format": kind, "path": f"{name}/*.{kind}"})
    settings = settings.model_copy(update={"sources": settings.sources | {name: source}})
    paths = Paths(config=Path("profile.yaml"), data=data.absolute())
    warehouse = open_warehouse(settings, paths, owner="benchmark", say=lambda _: None)
    stat = path.stat()
    # PyArrow imports pandas at its first use: imports are not part of the work.
    assert pd.__version__
    file = LandingFile(path.absolute(), f"{name}/{path.name}", name, stat.st_size, stat.st_mtime_ns)
    measured = Measurement()
    with measured.work():
        done = ingest_files(
            warehouse, settings, paths, [file], now=dt.datetime.now(dt.UTC).replace(tzinfo=None), say=lambda _: None
        )
        warehouse.execute("checkpoint")
    warehouse.close()
    n_written = json.loads((path.parent / "written.json").read_text(encoding="utf-8"))[kind]
    if done.n_loaded + done.n_rejected != n_written:
        raise LostRecordsError(f"{kind}: {n_written} written, {done.n_loaded} loaded, {done.n_rejected} rejected")
    measured.more |= {"n_records": n_written, "n_rejected": done.n_rejected}
    shutil.rmtree(data)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("who", choices=("ours", "bare"))
    parser.add_argument("kind", choices=FORMATS)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    path = given.folder / f"records.{given.kind}"
    measured = (ours if given.who == "ours" else bare)(given.kind, path)
    measured.more["bytes"] = size_of(path)
    measured.tell()


if __name__ == "__main__":
    main()
