"""Files as the disk holds them: what their bytes are, and that they are there to stay.

Not here: where anything lies (`paths`), or what is in it.
"""

import hashlib
import os
from pathlib import Path


def sync(path: Path) -> None:
    """Have a file, or what a folder lists, on the disk before going on: it then outlives a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
