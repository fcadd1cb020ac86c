"""Files for other systems: audiences as CSV for people, safe against formulas, and JSON for machines; tables as Parquet.

Not here: which people.
"""

import contextlib
import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_ROWS = 65_536

# OWASP's list of what a spreadsheet takes for a formula, and its full-width twins.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠")
# What a spreadsheet may drop before it looks: blanks, and marks without a width.
UNSEEN = " \t\r\n\v\f\u00a0\u200b\u200c\u200d\u200e\u200f\u2060\u3000\ufeff"


def safe_cell(value: Any) -> str:
    """Return a cell that no spreadsheet runs: text that looks like a formula gets a quote before it, plain numbers stay."""
    text = "" if value is None else str(value)
    is_number = text.replace(".", "", 1).removeprefix("-").isdigit()
    if not is_number and any(seen.startswith(FORMULA_STARTS) for seen in (text, text.lstrip(UNSEEN), text.lstrip())):
        return f"'{text}"
    return text


def as_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return rows as CSV with every cell quoted, and a byte order mark for spreadsheets that expect one."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([safe_cell(";".join(v) if isinstance(v := row[c], list) else v) for c in columns])
    return "\ufeff" + text.getvalue()


def as_jsonl(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return rows as JSON Lines."""
    return "".join(json.dumps({c: row[c] for c in columns}, ensure_ascii=False, default=str) + "\n" for row in rows)


def write_parquet(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    """Write tables as one file, which takes its place when it is whole; return how many rows it has.

    Pages carry checksums, and row groups are of one size however the rows come, so that equal rows make equal files.

    Parameters
    ----------
    schema
        With the metadata that the file is to have; the tables have its columns and types.
    """
    unfinished = path.with_name(f"{path.name}.unfinished")
    n_rows, held = 0, schema.empty_table()
    try:
        with pq.ParquetWriter(unfinished, schema, compression="zstd", write_page_checksum=True) as writer:
            for table in tables:
                n_rows += len(table)
                held = pa.concat_tables([held, table.cast(schema)])
                while len(held) >= ROW_GROUP_ROWS:
                    writer.write_table(held.slice(0, ROW_GROUP_ROWS))
                    held = held.slice(ROW_GROUP_ROWS)
            writer.write_table(held)
        unfinished.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            unfinished.unlink()
    return n_rows
