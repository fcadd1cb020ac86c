"""How a text file is written: its encoding, its kind, its delimiter, and whether its first line names the columns.

Bytes in, values out. Not here: what columns hold or mean.
"""

import codecs
import csv
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from profile_pipeline.errors import ExpectedError
from profile_pipeline.raw.proposing.amounts import DECIMAL
from profile_pipeline.raw.proposing.logs import w3c_pattern
from profile_pipeline.raw.proposing.times import TIME_OF_DAY, time_format_of
from profile_pipeline.raw.proposing.vocabulary import is_known_name
from profile_pipeline.raw.readers.json_texts import spans_lines
from profile_pipeline.shell import jq_command

DELIMITERS = ("\t", "::", "||", "\x01", "|", ";", ",", "^", "~")
LINES_LOOKED_AT = 300
SAME_WIDTH = 0.9
LONGEST_LINE = 8 << 20
LOG_LINE = re.compile(
    r'^\S+ \S+ \S+ \[\d{2}/\w{3}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4}\] "[^"]*" \d{3} (\d+|-)(?P<agent> "[^"]*" ")?'
)
_KINDS_BY_MAGIC = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook", "Unpack it, or save the sheet as CSV (UTF-8)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "Save the sheet as CSV (UTF-8)"),
    (b"\xfd7zXZ", "compressed by xz", "Unpack it (unxz); .gz, .bz2 and .zst are read as they are"),
    (b"7z\xbc\xaf", "a 7z archive", "Unpack it"),
    (b"SQLite format 3", "a SQLite database", "Export its tables as CSV"),
    (b"%PDF", "a PDF", "Take the table's own file"),
    (b"ARROW1", "an Arrow file", "Save it as Parquet"),
    (b"ORC", "an ORC file", "Save it as Parquet"),
    (b"Obj\x01", "an Avro file", "Save it as Parquet"),
    (b"\x89HDF", "an HDF5 file", "Save it as Parquet"),
)
_MARKUP = re.compile(rb"^\s*<(!doctype|html|\?xml|head|body)", re.IGNORECASE)


class SampleError(ExpectedError):
    """No source can be proposed for a file; the text says why and what to do."""


@dataclass(frozen=True)
class Dialect:
    """How a text file is written.

    Attributes
    ----------
    format
        csv, tsv, jsonl; `lines` for lines without fields of their own: a web server's log, columns aligned by blanks.
    delimiter
        None where there is none, or where it is what the format has anyway.
    has_header
        The first line names the columns.
    """

    format: str
    encoding: str
    delimiter: str | None
    has_header: bool
    n_fields: int

    @property
    def separator(self) -> str:
        return self.delimiter or ("\t" if self.format == "tsv" else ",")


def refuse_what_is_no_text(content: bytes) -> None:
    """Refuse what no reader reads.

    Raises
    ------
    SampleError
        With what it seems to be and what to do.
    """
    if not content.strip():
        raise SampleError("the file is empty: expected records")
    for magic, what, remedy in _KINDS_BY_MAGIC:
        if content.startswith(magic):
            raise SampleError(
                f"found {what}, expected CSV, TSV, JSON Lines or Parquet (.gz, .bz2 and .zst too). {remedy}."
            )
    if _MARKUP.match(content[:200]):
        raise SampleError(
            "found a page of HTML or XML, expected CSV, TSV, JSON Lines or Parquet. Was an error page saved in place of the file?"
        )
    if b"\x00" in content[:65536] and not _utf16_of(content):
        raise SampleError("found binary data, expected CSV, TSV, JSON Lines or Parquet (.gz, .bz2 and .zst too)")


def encoding_of(content: bytes) -> str:
    """Return the encoding of text, as `encoding:` names it."""
    utf16 = _utf16_of(content)
    if utf16:
        return utf16
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content)
        return "utf-8"
    except UnicodeDecodeError:
        pass
    n_replaced = content.decode("utf-8", "replace").count("�")
    n_whole = len(re.findall(rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}", content))
    if n_whole > 10 * n_replaced:
        return "utf-8"
    if _is_chinese(content):
        return "gb18030"
    return "cp1252" if re.search(rb"[\x80-\x9f]", content) and _decodes(content, "cp1252") else "latin-1"


def _is_chinese(content: bytes) -> bool:
    """Say whether it reads as GB18030 and then mostly holds the common signs of GB2312; other text reads as rare ones."""
    try:
        text = codecs.getincrementaldecoder("gb18030")().decode(content)
    except UnicodeDecodeError:
        return False
    signs = re.findall(r"[^\x00-\x7f]", text)[:20_000]
    return sum(len(sign.encode("gb2312", "ignore")) == 2 for sign in signs) > 0.5 * len(signs)


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(content)
    except UnicodeDecodeError:
        return False
    return True


def _utf16_of(content: bytes) -> str | None:
    if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    head = content[:4096]
    if len(head) >= 4 and b"\x00" in head:
        odd, even = head[1::2].count(0), head[0::2].count(0)
        if odd > 0.3 * len(head) and even == 0:
            return "utf-16-le"
        if even > 0.3 * len(head) and odd == 0:
            return "utf-16-be"
    return None


def dialect_of(text: str, encoding: str, file: Path) -> Dialect:
    """Return how the text of a file is written.

    Raises
    ------
    SampleError
        If it holds no table.
    """
    start = text.lstrip("\ufeff \t\r\n")
    lines = [
        line for line in text[: 4 * LONGEST_LINE].lstrip("\ufeff").splitlines()[: 3 * LINES_LOOKED_AT] if line.strip()
    ]
    lines = lines[:LINES_LOOKED_AT]
    if not lines:
        raise SampleError("the file is empty: expected records")
    if len(lines[0]) > LONGEST_LINE:
        raise SampleError("the first line is longer than 8 million characters, expected a record a line")
    if spans_lines(start[:LONGEST_LINE].encode()):
        return Dialect("jsonl", encoding, None, has_header=False, n_fields=0)
    if start.startswith("{"):
        return _json_dialect(lines, encoding, file)
    if start.startswith("["):
        raise SampleError(
            "found text in brackets, expected JSON objects (one a line, or one array of them), CSV, TSV or Parquet"
        )
    if w3c_pattern(lines) or sum(bool(LOG_LINE.match(line)) for line in lines) >= SAME_WIDTH * len(lines):
        return Dialect("lines", encoding, None, has_header=False, n_fields=0)
    best = _best_delimiter(text, lines)
    if best is None:
        widths = Counter(len(line.split()) for line in lines)
        width, n = widths.most_common(1)[0]
        if (
            width > 2
            and n >= SAME_WIDTH * len(lines)
            and n > 1
            and not looks_like_header([line.split() for line in lines])
        ):
            return Dialect("lines", encoding, None, has_header=False, n_fields=width)
        raise SampleError(
            "found one column only, expected several, separated by comma, semicolon, tab, | or ::."
            " Another separator goes into profile.yaml by hand (delimiter:)"
        )
    delimiter, records = best
    width = Counter(map(len, records)).most_common(1)[0][0]
    return Dialect(
        "tsv" if delimiter == "\t" else "csv",
        encoding,
        None if delimiter in ("\t", ",") else delimiter,
        has_header=looks_like_header(records),
        n_fields=width,
    )


def _json_dialect(lines: Sequence[str], encoding: str, file: Path) -> Dialect:
    n_good = 0
    for line in lines:
        try:
            n_good += isinstance(json.loads(line), dict)
        except (ValueError, RecursionError):
            continue
    if n_good < 0.5 * len(lines):
        raise SampleError(
            "found JSON spread over lines that does not begin with a line of {, expected one object a line (JSON Lines)."
            f" It becomes lines with: {jq_command('.', file)}"
        )
    return Dialect("jsonl", encoding, None, has_header=False, n_fields=0)


def split_records(text: str, delimiter: str, limit: int | None = None) -> list[list[str]]:
    """Split text into records of fields; what can't be read is left out, the readers will tell of it."""
    if len(delimiter) > 1:
        lines = text.splitlines()[:limit]
        return [line.split(delimiter) for line in lines if line]
    found: list[list[str]] = []
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    csv.field_size_limit(1 << 30)
    while limit is None or len(found) < limit:
        try:
            record = next(reader, None)
        except csv.Error:
            continue
        if record is None:
            break
        if record:
            found.append(record)
    return found


def _best_delimiter(text: str, lines: Sequence[str]) -> tuple[str, list[list[str]]] | None:
    head = text[: sum(len(line) + 2 for line in lines) + 2].lstrip("\ufeff")
    found: list[tuple[bool, float, int, str, list[list[str]]]] = []
    for place, delimiter in enumerate(DELIMITERS):
        if delimiter not in head or (delimiter == "||" and head.count("|") != 2 * head.count("||")):
            continue
        records = split_records(head, delimiter, LINES_LOOKED_AT)
        width, n = Counter(map(len, records)).most_common(1)[0]
        share = n / len(records)
        if width > 1 and share >= SAME_WIDTH:
            # A file of one record says nothing by its width: the order of delimiters decides.
            # A tab before each long number, put there against Excel, is no delimiter: the header has none.
            found.append((len(records[0]) > 1, round(share, 1), -place, delimiter, records))
    *_, delimiter, records = max(found, key=lambda f: f[:3], default=(False, "", []))
    if not delimiter or len(records[0]) == 1:
        return _ragged(head, lines) or ((delimiter, records) if delimiter else None)
    if delimiter == "," and '"' not in head and _all_followed_by_blank(head):
        delimiter = ", "
        records = split_records(head, delimiter, LINES_LOOKED_AT)
    return delimiter, records


def _all_followed_by_blank(head: str) -> bool:
    return head.count(", ") >= 0.99 * head.count(",")


def _ragged(head: str, lines: Sequence[str]) -> tuple[str, list[list[str]]] | None:
    """A damaged file: the delimiter of which the header has at least two and most lines have as many."""
    for delimiter in (d for d in DELIMITERS if lines[0].count(d) >= 2):
        records = split_records(head, delimiter, LINES_LOOKED_AT)
        if sum(len(r) == len(records[0]) for r in records) >= 0.5 * len(records):
            return delimiter, records
    return None


def looks_like_header(records: Sequence[Sequence[str]]) -> bool:
    """Say whether the first record names the columns: no value of it is a number or a time, and it stands apart from the rest."""
    first, rest = [cell.strip() for cell in records[0]], records[1:]
    if any(DECIMAL.match(cell) or TIME_OF_DAY.match(cell) or time_format_of([cell]) for cell in first if cell):
        return False
    if sum(not cell for cell in first) > 0.2 * len(first):
        return False
    if any(is_known_name(cell) for cell in first) or not rest:
        return True
    for place, cell in enumerate(first):
        below = [r[place].strip() for r in rest if len(r) > place and r[place].strip()]
        if below and cell not in below and sum(_is_value(v) for v in below) >= SAME_WIDTH * len(below):
            return True
    return False


def _is_value(text: str) -> bool:
    return bool(DECIMAL.match(text) or TIME_OF_DAY.match(text)) or time_format_of([text]) is not None
