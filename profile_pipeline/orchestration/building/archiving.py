"""Archiving files ahead of their loading.

Not here: how a file is archived (`raw.archive`), or loading it (`ingesting`).
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from profile_pipeline.raw.archive import Archived, store
from profile_pipeline.raw.landing import LandingFile

ARCHIVED_AHEAD = 8


def archived_ahead(files: Iterable[LandingFile], archive: Path) -> Iterator[tuple[LandingFile, Future[Archived]]]:
    """Archive files, some ahead of their loading: of a small one most is waiting for the disk."""
    pool = ThreadPoolExecutor(ARCHIVED_AHEAD)
    ahead: deque[tuple[LandingFile, Future[Archived]]] = deque()
    try:
        for file in files:
            ahead.append((file, pool.submit(store, file.path, archive=archive)))
            if len(ahead) > ARCHIVED_AHEAD:
                yield ahead.popleft()
        yield from ahead
    finally:
        pool.shutdown(cancel_futures=True)
