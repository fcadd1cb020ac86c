"""The published copy: a small database beside the warehouse, replaced at once, for readers who must not wait or be waited for.

Not here: which tables it holds (`applications.publish`).
"""

import os
from collections.abc import Sequence
from pathlib import Path

import duckdb

from profile_pipeline.warehouse.duckdb import Warehouse
from profile_pipeline.warehouse.opening import HARDENED, STORAGE_FORMAT, without_progress_bar


def publish(warehouse: Warehouse, path: Path, published: Sequence[tuple[str, str]]) -> None:
    """Write the copy to a new file and put it in the old one's place; who has the old one open keeps reading it.

    Parameters
    ----------
    published
        (table, condition on its rows); `<schema>.*` names all tables of a schema.
    """
    temporary = path.with_suffix(".publishing.duckdb")
    for left in (temporary, temporary.with_name(f"{temporary.name}.wal")):
        left.unlink(missing_ok=True)
    names = [
        f"{schema}.{table}"
        for schema, table in warehouse.rows("select schema_name, table_name from duckdb_tables() where not temporary")
    ]
    wanted: dict[str, str] = {}
    for pattern, condition in published:
        matching = [n for n in sorted(names) if n == pattern or (pattern.endswith(".*") and n.startswith(pattern[:-1]))]
        wanted |= dict.fromkeys(matching, condition)
    target = duckdb.connect(str(temporary), config=HARDENED | {"storage_compatibility_version": STORAGE_FORMAT})
    try:
        without_progress_bar(target)
        for schema in sorted({name.split(".")[0] for name in wanted}):
            target.execute(f"create schema {schema}")
        for name, condition in wanted.items():
            ddl = ", ".join(f'"{c}" {t}' for c, t in warehouse.columns_of(name))
            target.register(
                "incoming_arrow",
                warehouse.connection.sql(f"select * from {name} where {condition}").to_arrow_reader(100_000),
            )
            target.execute(f"create table {name} ({ddl})").fetchall()
            target.execute(f"insert into {name} select * from incoming_arrow").fetchall()
            target.unregister("incoming_arrow")
        target.execute("checkpoint").fetchall()
    finally:
        target.close()
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
