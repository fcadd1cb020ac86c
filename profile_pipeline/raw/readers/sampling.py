"""A bounded look at a file: its first records, and some from further on, as a small file that the readers can read.

Not here: what the sample says (`raw.proposing`).
"""

import codecs
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from profile_pipeline.raw.readers.bytes import FileRefused, is_packed, open_binary, refusing_damage
from profile_pipeline.raw.readers.json_texts import holds_object, objects_in, spans_lines

SAMPLE_BYTES = 16 << 20
N_PIECES = 8
PARQUET_ROWS = 100_000
_PARQUET = b"PAR1"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class FileSample:
    """What was looked at of a file.

    Attributes
    ----------
    content
        Text, decompressed, cut at the ends of lines; or a whole Parquet file of some of the rows.
    is_whole
        Nothing was left out.
    """

    content: bytes
    is_whole: bool
    is_parquet: bool


def sample_of(path: Path, *, limit_bytes: int = SAMPLE_BYTES) -> FileSample:
    """Look at a file: all of it where it is small, else its head and pieces from further on.

    Of a compressed file or one in UTF-16 only the head is taken: what lies further on can't be found without reading all.

    Raises
    ------
    FileRefused
        If it is damaged.
    OSError
        If it can't be opened.
    """
    with path.open("rb") as raw:
        head = raw.read(4)
    if head == _PARQUET:
        return _parquet(path)
    with refusing_damage(), open_binary(path) as stream:
        content = stream.read(limit_bytes + 1)
    if len(content) <= limit_bytes:
        return FileSample(content, is_whole=True, is_parquet=False)
    is_seekable = head[:2] not in _UTF16 and not is_packed(head)
    content = content[: limit_bytes // 2 if is_seekable else limit_bytes]
    content = content[: _last_line_end(content)]
    if spans_lines(content) and holds_object(content):
        # What was cut is closed again, or the readers would tell of damage that the file has not.
        content = b"[" + b",\n".join(objects_in(content)) + b"]"
    elif is_seekable and content.count(b'"') == 0:
        content += _further(path, start=len(content), piece_bytes=limit_bytes // 2 // N_PIECES)
    return FileSample(content, is_whole=False, is_parquet=False)


def _last_line_end(content: bytes) -> int:
    """Where the last whole line ends; of UTF-16, in which a line end is two bytes, on an even place."""
    if content[:2] not in _UTF16:
        return content.rfind(b"\n") + 1 or len(content)
    end = len(content) & ~1
    mark = "\n".encode("utf-16-le" if content[:2] == codecs.BOM_UTF16_LE else "utf-16-be")
    for place in range(end - 2, 0, -2):
        if content[place : place + 2] == mark:
            return place + 2
    return end


def _further(path: Path, *, start: int, piece_bytes: int) -> bytes:
    """Pieces of whole lines, evenly spread over what follows, the last of them the file's end."""
    size = path.stat().st_size
    step = max(1, (size - start - piece_bytes) // (N_PIECES - 1))
    pieces = []
    with path.open("rb") as raw:
        for number in range(N_PIECES):
            is_last = number == N_PIECES - 1
            raw.seek(max(start, size - piece_bytes if is_last else start + number * step) - 1)
            piece = raw.read(piece_bytes + 1)
            first = piece.find(b"\n") + 1
            last = len(piece) if is_last else piece.rfind(b"\n") + 1
            if 0 < first < last:
                pieces.append(piece[first:last] + (b"" if piece[last - 1 : last] == b"\n" else b"\n"))
    return b"".join(pieces)


def _parquet(path: Path) -> FileSample:
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        n_groups = file.metadata.num_row_groups
        groups = sorted({round(i * (n_groups - 1) / (N_PIECES - 1)) for i in range(N_PIECES)}) if n_groups else []
        share = max(1, PARQUET_ROWS // max(1, len(groups)))
        parts = [next(file.iter_batches(batch_size=share, row_groups=[group], use_threads=False)) for group in groups]
        table = pa.Table.from_batches(parts, schema=file.schema_arrow)
    except (pa.ArrowInvalid, OSError) as error:
        raise FileRefused("damaged_parquet", str(error).splitlines()[0]) from None
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    is_whole = table.num_rows == file.metadata.num_rows
    return FileSample(sink.getvalue().to_pybytes(), is_whole=is_whole, is_parquet=True)
