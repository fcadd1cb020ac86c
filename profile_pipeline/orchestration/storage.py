"""Dagster's storage of events and runs on SQLite with connections that are kept, and batches written as such: stock opens about
three connections for every event, and takes a batch apart.

It holds to the methods of Dagster 1.13 that it overrides by a hash of the parent's own text; on any other text it behaves as
stock, slow and right. Not here: what is stored. Every Dagster process imports this module: it must stay light.
"""

import hashlib
import inspect
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as db
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.events import ASSET_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.sql import ALEMBIC_SCRIPTS_LOCATION
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.pool import QueuePool, StaticPool

KNOWN_PARENTS = frozenset({"54d37b8d3908"})
STOCK_VARIABLE = "PROFILE_PIPELINE_STOCK_EVENT_STORAGE"
_OVERRIDDEN = (
    SqliteEventLogStorage._connect,
    SqliteEventLogStorage._initdb,
    SqliteEventLogStorage.store_event,
    SqliteRunStorage.connect,
)
PARENT = hashlib.sha256("".join(inspect.getsource(method) for method in _OVERRIDDEN).encode()).hexdigest()[:12]
IS_KNOWN = PARENT in KNOWN_PARENTS and not os.environ.get(STOCK_VARIABLE)
# The index, and the files of the runs used last.
N_KEPT = 5

# A child that a fork makes would share the locks of open files with its parent, and lose what it writes as that closes them: they
# are closed before. What somebody uses just then is inherited: never used, and never closed, which would drop the parent's locks.
_storages: "weakref.WeakSet[KeptSqliteEventLogStorage | KeptSqliteRunStorage]" = weakref.WeakSet()
_inherited: list[object] = []
SECONDS_BEFORE_FORK = 5

# The bytes of a file without events, once they are known.
_fresh_file: list[bytes] = []

# Statements that are made anew for each row cost more than the row.
_INSERT = SqlEventLogStorageTable.insert()

_read_migrations: Any = ScriptDirectory.from_config.__func__  # type: ignore[attr-defined]
_migrations: list[ScriptDirectory] = []


def _migrations_read_once(cls: type[ScriptDirectory], config: Config) -> ScriptDirectory:
    if cls is not ScriptDirectory or config.get_main_option("script_location") != ALEMBIC_SCRIPTS_LOCATION:
        return _read_migrations(cls, config)
    if not _migrations:
        _migrations.append(_read_migrations(cls, config))
    return _migrations[0]


if IS_KNOWN:
    # For the file of every run Alembic is asked twice for the newest of Dagster's migrations, and loads all of them, some ninety
    # modules, each time: a tenth of a small run.
    ScriptDirectory.from_config = classmethod(_migrations_read_once)  # type: ignore[method-assign,assignment]


def _put(content: bytes, path: str) -> None:
    """Make a file that appears with all it holds or not at all, whoever is killed."""
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        with os.fdopen(os.open(".", os.O_TMPFILE | os.O_WRONLY, 0o644, dir_fd=folder), "wb") as nameless:
            nameless.write(content)
            nameless.flush()
            os.fsync(nameless.fileno())
            # With a folder given the link is followed to what it stands for.
            os.link(f"/proc/self/fd/{nameless.fileno()}", path, src_dir_fd=folder)
    finally:
        os.close(folder)


class KeptSqliteEventLogStorage(SqliteEventLogStorage):
    """Event storage that keeps the connections that do the work."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._kept: OrderedDict[str, tuple[Engine, tuple[int, int]]] = OrderedDict()
        self._pid = os.getpid()
        # Tables and columns that were there once: they never go away.
        self._seen: set[object] = set()
        super().__init__(base_dir, inst_data)
        _storages.add(self)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "KeptSqliteEventLogStorage":
        """Stock names its own class here, and would silently be stock."""
        return cls(inst_data=inst_data, **config_value)

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:
        """Begin a file with all its tables at once: stock makes them one by one, and waits for the disk at each."""
        path = engine.url.database
        # The log of a file that was removed would be played into a new one, unless that is empty.
        if IS_KNOWN and path and not os.path.exists(path) and not os.path.exists(f"{path}-wal"):
            # Without it stock makes them: no such files here, no room, or another process was faster.
            with suppress(OSError, AttributeError):
                _put(self._fresh(), path)
        super()._initdb(engine, for_index_shard)

    def _fresh(self) -> bytes:
        """Return the bytes of a file without events."""
        if not _fresh_file:
            engine = db.create_engine("sqlite://", poolclass=StaticPool)
            super()._initdb(engine)
            with engine.connect() as connection:
                raw: Any = connection.connection.dbapi_connection
                found = bytearray(raw.serialize())
            engine.dispose()
            # Its versions of writing and reading: with a write-ahead log, which memory has not.
            found[18:20] = b"\x02\x02"
            _fresh_file.append(bytes(found))
        return _fresh_file[0]

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._connected(shard) as connection:
            raw: Any = connection.connection.dbapi_connection
            changes = raw.total_changes
            yield connection
            has_written = raw.total_changes != changes
        if has_written and shard != INDEX_SHARD_NAME:
            # Commits go to the -wal file, which a kept connection does not fold in; the watchers of the UI look at the file itself.
            with suppress(OSError):
                os.utime(self.path_for_shard(shard))

    @contextmanager
    def _connected(self, shard: str) -> Iterator[Connection]:
        if self._pid != os.getpid():
            _inherited.append(self._kept)
            self._kept, self._db_lock, self._pid = OrderedDict(), threading.Lock(), os.getpid()
        if not os.path.exists(self.path_for_shard(shard)):
            self._initialized_dbs.discard(shard)
        if not IS_KNOWN or shard not in self._initialized_dbs:
            # The first touch creates and migrates, as stock does.
            with super()._connect(shard) as connection:
                yield connection
            return
        with self._db_lock:
            try:
                with self._engine(shard).connect() as connection, connection.begin():
                    yield connection
            except BaseException:
                self._close(shard)
                raise

    def _engine(self, shard: str) -> Engine:
        status = os.stat(self.path_for_shard(shard))
        identity = (status.st_dev, status.st_ino)
        if shard in self._kept and self._kept[shard][1] != identity:
            self._close(shard)
        if shard not in self._kept:
            engine = db.create_engine(
                self.conn_string_for_shard(shard),
                poolclass=StaticPool,
                connect_args={"timeout": 30, "check_same_thread": False},
            )
            db.event.listen(engine, "connect", _wait_for_no_disk)
            self._kept[shard] = (engine, identity)
        self._kept.move_to_end(shard)
        others = [name for name in self._kept if name != INDEX_SHARD_NAME]
        for name in others[: max(0, len(self._kept) - N_KEPT)]:
            self._close(name)
        return self._kept[shard][0]

    def _close(self, shard: str) -> None:
        if shard in self._kept:
            self._kept.pop(shard)[0].dispose()

    def _close_all(self) -> None:
        if self._pid == os.getpid():
            with self._db_lock:
                self._let_go()

    def let_go_before_fork(self) -> None:
        if self._db_lock.acquire(timeout=SECONDS_BEFORE_FORK):
            self._let_go()
            self._db_lock.release()

    def _let_go(self) -> None:
        for shard in list(self._kept):
            self._close(shard)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Write what `store_event` writes of each event, in one transaction of each file.

        Of an asset's events of a kind only the last is what the asset's own row tells.
        """
        run_ids = {event.run_id for event in events}
        batched: list[EventLogEntry] = []
        others: list[EventLogEntry] = []
        for event in events:
            is_of_asset = event.is_dagster_event and event.dagster_event_type in ASSET_EVENTS
            (batched if is_of_asset else others).append(event)
        if not IS_KNOWN or len(run_ids) != 1 or not batched:
            super().store_event_batch(events)
            return
        rows = [self._event_to_row(event) for event in batched]
        # The file that all runs share comes first: if it stays locked nothing is written, and Dagster tries them one by one.
        with self.index_transaction() as connection:
            ids = [connection.execute(_INSERT, row).lastrowid for row in rows]
            self._store_asset_event_tags(connection, batched, ids)
            newest = {(row["asset_key"], row["dagster_event_type"]): i for i, row in enumerate(rows)}
            for i in sorted(newest.values()):
                self._store_asset_event(connection, batched[i], ids[i])
        with self.run_connection(run_ids.pop()) as connection:
            connection.execute(_INSERT, rows)
        for event in others:
            self.store_event(event)

    def has_table(self, table_name: str) -> bool:
        """Stock asks for the same table at every event."""
        return self._ask(table_name, lambda: super(KeptSqliteEventLogStorage, self).has_table(table_name))

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        return self._ask(
            (column_name,),
            lambda: super(KeptSqliteEventLogStorage, self)._has_asset_key_col_on_connection(conn, column_name),
        )

    def _ask(self, name: object, question: Callable[[], bool]) -> bool:
        if name not in self._seen and question():
            self._seen.add(name)
        return name in self._seen

    def dispose(self) -> None:
        super().dispose()
        self._close_all()

    def wipe(self) -> None:
        self._close_all()
        super().wipe()

    def delete_events(self, run_id: str) -> None:
        super().delete_events(run_id)
        self._close_all()


class KeptSqliteRunStorage(SqliteRunStorage):
    """Storage of runs that keeps its connections: stock opens one for every question, and tidies the file up as it closes it."""

    def __init__(self, conn_string: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._path = make_url(conn_string).database or ""
        self._kept: tuple[Engine, tuple[int, int, int]] | None = None
        self._lock, self._pid = threading.Lock(), os.getpid()
        super().__init__(conn_string, inst_data)
        _storages.add(self)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        if not IS_KNOWN or not os.path.exists(self._path):
            with super().connect() as connection:
                yield connection
            return
        with self._engine().connect() as connection, connection.begin():
            yield connection

    def _engine(self) -> Engine:
        status = os.stat(self._path)
        identity = (os.getpid(), status.st_dev, status.st_ino)
        if self._pid != os.getpid():
            self._lock, self._pid = threading.Lock(), os.getpid()
        with self._lock:
            if self._kept is None or self._kept[1] != identity:
                self._close()
                engine = db.create_engine(
                    self._conn_string,
                    poolclass=QueuePool,
                    max_overflow=-1,
                    connect_args={"timeout": 30, "check_same_thread": False},
                )
                db.event.listen(engine, "connect", _wait_for_no_disk)
                self._kept = (engine, identity)
            return self._kept[0]

    def _close(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None and kept[1][0] == os.getpid():
            kept[0].dispose()
        elif kept is not None:
            _inherited.append(kept)

    def let_go_before_fork(self) -> None:
        if self._lock.acquire(timeout=SECONDS_BEFORE_FORK):
            self._close()
            self._lock.release()

    def dispose(self) -> None:
        super().dispose()
        with self._lock:
            self._close()


def _wait_for_no_disk(raw: Any, _: object) -> None:
    """Leave it to the write-ahead log to be on disk when it is folded in: no file breaks, and a power loss costs the last lines."""
    raw.execute("PRAGMA synchronous=NORMAL").close()


def _let_go_before_fork() -> None:
    for storage in list(_storages):
        storage.let_go_before_fork()


os.register_at_fork(before=_let_go_before_fork)


class KeptSqliteStorage(DagsterSqliteStorage):
    """Storage of runs and events with kept connections beside stock storage of schedules."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._run_storage = KeptSqliteRunStorage(self._run_storage._conn_string)
        self._event_log_storage = KeptSqliteEventLogStorage(os.path.join(base_dir, "history", "runs"))

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "KeptSqliteStorage":
        return cls.from_local(inst_data=inst_data, **config_value)
