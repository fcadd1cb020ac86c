"""Audiences as files for other systems: CSV for people, safe against formulas, and JSON for machines.

Not here: which people.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

# OWASP's list of what a spreadsheet takes for a formula, and its full-width twins.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠")


def safe_cell(value: Any) -> str:
    """Return a cell that no spreadsheet runs: text that looks like a formula gets a quote before it, plain numbers stay."""
    text = "" if value is None else str(value)
    if text.lstrip().startswith(FORMULA_STARTS) and not text.replace(".", "", 1).removeprefix("-").isdigit():
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
