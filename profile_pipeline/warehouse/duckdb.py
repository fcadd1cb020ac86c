"""The warehouse on DuckDB: the only code that opens `profile.duckdb`.

Here belong the connection under its lease, transactions, and the few ways in which a table is written. Not here: how the file
is opened (`warehouse.opening`), what any table means, or SQL of a stage.
"""

import contextlib
import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from profile_pipeline.table import Table, quote_identifier
from profile_pipeline.warehouse.lease import lease
from profile_pipeline.warehouse.opening import WarehouseError, open_database
from profile_pipeline.warehouse.shape import missing_parts, type_faults

# What the engine raises: of a damaged file, a full disk, a wrong query.
EngineError = duckdb.Error


# What these say holds values of the data: Dagster's log would keep them for ever.
_TELLING = (
    duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.TypeMismatchException, duckdb.InvalidInputException, duckdb.ConstraintException,
)  # fmt: skip
_QUOTED = re.compile(r"(['\"]).*(['\"])", re.DOTALL)
_INPUT = re.compile(r"(Input: ).*", re.DOTALL)


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Let errors through with what they quote left out: it may be of a person."""
    try:
        yield
    except _TELLING as error:
        told = _INPUT.sub(r"\1…", _QUOTED.sub(r"\1…\2", str(error)))
        raise type(error)(told) from None


class _Incoming:
    """Arrow rows as the engine takes them.

    It keeps whatever is registered in a transaction until that ends: of a large file that would be all of it. So it gets this,
    which lets the rows go.
    """

    def __init__(self, rows: pa.Table | pa.RecordBatchReader) -> None:
        self.rows: pa.Table | pa.RecordBatchReader | None = rows

    def __arrow_c_schema__(self) -> object:
        assert self.rows is not None
        return self.rows.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        assert self.rows is not None
        return self.rows.__arrow_c_stream__(requested_schema)


class Warehouse:
    """One connection to the warehouse, opened at first use under the lease.

    Parameters
    ----------
    path
        The database file; its lease and spill folder lie beside it.
    owner
        Who works here, for those who wait.
    say
        Where waiting is told.
    tables
        Created, where they are missing, when the file is opened.
    on_first_write
        Called before the first statement that changes something, each time the file is opened; what it raises refuses to write.
    on_open
        Called with the open warehouse before missing tables are created; what it raises refuses to open it.
    is_read_only
        The engine itself refuses to change the file, which must be there, and to read any other; temporary tables are still
        possible.
    """

    def __init__(
        self,
        path: Path,
        *,
        owner: str,
        say: Callable[[str], None],
        tables: Sequence[Table] = (),
        lease_timeout_seconds: float = 3600,
        memory_limit: str | None = None,
        threads: int | None = None,
        on_first_write: Callable[["Warehouse"], None] = lambda _: None,
        on_open: Callable[["Warehouse"], None] = lambda _: None,
        is_read_only: bool = False,
    ) -> None:
        self.path, self.owner, self.say, self.tables = path, owner, say, tables
        self.lease_timeout_seconds, self.memory_limit, self.threads = lease_timeout_seconds, memory_limit, threads
        self._stack: contextlib.ExitStack | None = None
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._is_in_transaction, self._has_written = False, False
        self.is_read_only, self._on_open, self._on_first_write = is_read_only, on_open, on_first_write

    # ---- opening and closing

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The open connection; the first use takes the lease and opens the file."""
        if self._connection is None:
            with contextlib.ExitStack() as stack:
                stack.enter_context(
                    lease(
                        self.path.with_suffix(".duckdb.lease"),
                        owner=self.owner,
                        timeout_seconds=self.lease_timeout_seconds,
                        say=self.say,
                    )
                )
                self._connection = open_database(
                    self.path,
                    is_read_only=self.is_read_only,
                    timeout_seconds=self.lease_timeout_seconds,
                    memory_limit=self.memory_limit,
                    threads=self.threads,
                    say=self.say,
                )
                stack.callback(self._connection.close)
                self._stack = stack.pop_all()
            try:
                self._on_open(self)
                if not self.is_read_only:
                    self.create(self.tables)
            except BaseException:
                self.close()
                raise
        return self._connection

    def close(self) -> None:
        """Close the file and let the lease go; the next use opens it again. Temporary tables are gone then."""
        stack, self._stack, self._connection = self._stack, None, None
        # While it is closed another run may publish: what is written after that is a first write again.
        self._has_written = False
        if stack is not None:
            stack.close()

    # ---- asking

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        with without_values():
            return self.connection.execute(sql, dict(parameters or {})).fetchall()

    def scalar(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """Return the one value of a query of one row and one column."""
        rows = self.rows(sql, parameters)
        if len(rows) != 1 or len(rows[0]) != 1:
            raise WarehouseError(f"expected one value, found {len(rows)} rows: {sql}")
        return rows[0][0]

    def arrow(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Return the rows of a query as an Arrow table; decimals stay decimals."""
        with without_values():
            return self.connection.sql(sql, params=dict(parameters or {})).to_arrow_table()

    def dicts(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the rows of a query by column name."""
        return self.arrow(sql, parameters).to_pylist()

    def read_only(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of one query that a person wrote; whatever else it is, is refused.

        Raises
        ------
        WarehouseError
            If it is not one select.
        """
        statements = duckdb.extract_statements(sql)
        if len(statements) != 1 or statements[0].type not in (
            duckdb.StatementType.SELECT,
            duckdb.StatementType.EXPLAIN,
        ):
            raise WarehouseError("found something else than one SELECT; nothing can be written here")
        # A select can still call what writes: it runs in a transaction that can't.
        self.connection.execute("begin transaction read only").fetchall()
        try:
            found = self.connection.sql(sql).to_arrow_table()
            names = found.column_names
            # Two columns of one name would be one in a row by name.
            told = [name if names.index(name) == i else f"{name}_{i + 1}" for i, name in enumerate(names)]
            return found.rename_columns(told).to_pylist()
        finally:
            self.connection.execute("rollback").fetchall()

    def days(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dt.date]:
        """Return the first column of a query, as days in order."""
        return sorted(row[0] for row in self.rows(sql, parameters))

    def has_table(self, name: str) -> bool:
        """Say whether a table exists."""
        return bool(self.columns_of(name))

    def columns_of(self, name: str) -> list[tuple[str, str]]:
        """Return the columns of a table with their types, in order."""
        schema, table = name.split(".")
        return [
            (column, kind)
            for column, kind in self.rows(
                "select column_name, data_type from duckdb_columns() where schema_name = $schema and table_name = $table order by column_index",
                {"schema": schema, "table": table},
            )
        ]

    # ---- writing

    def execute(self, sql: str, parameters: Mapping[str, Any] | None = None) -> int:
        """Run a statement that changes something; return the number of rows that it says it changed."""
        if not self._has_written:
            # It may write itself.
            self._has_written = True
            try:
                self._on_first_write(self)
            except BaseException:
                self._has_written = False
                raise
        return self._run(sql, parameters)

    def _run(self, sql: str, parameters: Mapping[str, Any] | None = None) -> int:
        with without_values():
            rows = self.connection.execute(sql, dict(parameters or {})).fetchall()
        return rows[0][0] if rows and len(rows[0]) == 1 and isinstance(rows[0][0], int) else 0

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; inside another one it is part of it."""
        if self._is_in_transaction:
            yield
            return
        self.connection.execute("begin transaction").fetchall()
        self._is_in_transaction = True
        try:
            yield
            self.connection.execute("commit").fetchall()
        except BaseException:
            # A failed commit has rolled back already; the connection may be invalid after a full disk.
            with contextlib.suppress(duckdb.Error):
                self.connection.execute("rollback").fetchall()
            raise
        finally:
            self._is_in_transaction = False

    def create(self, tables: Sequence[Table]) -> None:
        """Create what is missing: schemas, tables, columns that a table has gained; a column of another type is a WarehouseError."""
        existing: dict[str, dict[str, str]] = {}
        for schema, table, column, kind in self.rows(
            "select schema_name, table_name, column_name, data_type from duckdb_columns() where not internal"
        ):
            existing.setdefault(f"{schema}.{table}", {})[column] = kind
        if faults := type_faults(tables, existing):
            raise WarehouseError(
                f"{self.path} was written by another release: {'; '.join(faults)}. Build it anew from the archive: profile-pipeline rebuild"
            )
        with self.transaction():
            for statement in missing_parts(tables, existing):
                self._run(statement)

    def temporary(self, name: str, source: pa.Table | str, parameters: Mapping[str, Any] | None = None) -> None:
        """Make a temporary table from Arrow or from a query, replacing one of that name."""
        if isinstance(source, str):
            with without_values():
                self.connection.execute(
                    f"create or replace temp table {quote_identifier(name)} as {source}", dict(parameters or {})
                ).fetchall()
            return
        with self._incoming(source):
            self.connection.execute(
                f"create or replace temp table {quote_identifier(name)} as select * from incoming_arrow"
            ).fetchall()

    def drop(self, *names: str) -> None:
        """Drop temporary tables; what they hold stays in memory until then."""
        for name in names:
            self.connection.execute(f"drop table if exists temp.{quote_identifier(name)}").fetchall()

    def insert(self, table: Table, source: pa.Table | str, parameters: Mapping[str, Any] | None = None) -> int:
        """Insert rows by column name; return how many.

        Raises
        ------
        WarehouseError
            If the rows lack a column of the table.
        """
        names = ", ".join(quote_identifier(name) for name in table.column_names)
        if isinstance(source, str):
            return self.execute(f"insert into {table.name} ({names}) select {names} from ({source})", parameters)
        missing = [name for name in table.column_names if name not in source.column_names]
        if missing:
            raise WarehouseError(
                f"rows for {table.name} lack the columns {', '.join(missing)} (found: {', '.join(source.column_names)})"
            )
        return self.insert_from(table, "select * from incoming_arrow", source, parameters)

    def insert_from(
        self,
        table: Table,
        sql: str,
        incoming: pa.Table | pa.RecordBatchReader,
        parameters: Mapping[str, Any] | None = None,
    ) -> int:
        """Insert what a query makes of Arrow rows, which it reads as `incoming_arrow`; return how many."""
        with self._incoming(incoming):
            return self.insert(table, sql, parameters)

    @contextlib.contextmanager
    def _incoming(self, rows: pa.Table | pa.RecordBatchReader) -> Iterator[None]:
        """Let queries read Arrow rows as `incoming_arrow`."""
        incoming = _Incoming(rows)
        self.connection.register("incoming_arrow", incoming)
        try:
            yield
        except BaseException:
            # In a transaction that was aborted nothing can be done, and that would be told instead of what aborted it.
            with contextlib.suppress(duckdb.Error):
                self.connection.unregister("incoming_arrow")
            raise
        finally:
            incoming.rows = None
        self.connection.unregister("incoming_arrow")

    def replace_days(
        self,
        table: Table,
        source: pa.Table | str,
        days: Sequence[dt.date],
        parameters: Mapping[str, Any] | None = None,
    ) -> int:
        """Replace the rows of these days, in one transaction; return how many stand there now."""
        with self.transaction():
            self.execute(
                f"delete from {table.name} where list_contains($days, {table.partition_column})", {"days": list(days)}
            )
            return self.insert(table, source, parameters)

    def replace_keys(
        self,
        table: Table,
        source: pa.Table | str,
        *,
        scope: str,
        keys: Sequence[str],
        parameters: Mapping[str, Any] | None = None,
    ) -> int:
        """Replace the rows whose keys stand in the relation `scope`, in one transaction; return how many are new."""
        condition = " and ".join(f"t.{key} is not distinct from s.{key}" for key in keys)
        with self.transaction():
            self.execute(f"delete from {table.name} as t using {scope} as s where {condition}")
            return self.insert(table, source, parameters)

    def replace_all(
        self, table: Table, source: pa.Table | str, parameters: Mapping[str, Any] | None = None
    ) -> tuple[int, int]:
        """Make a table say what the rows say, touching only what differs; return rows removed and added.

        A table that is rewritten whole grows the file by its size each time; one that is told its differences does not.
        """
        names = ", ".join(quote_identifier(name) for name in table.column_names)
        with self.transaction():
            if isinstance(source, str):
                self.temporary("incoming_rows", f"select {names} from ({source})", parameters)
            else:
                self.temporary("incoming_rows", source.select(list(table.column_names)))
            condition = " and ".join(
                f"t.{c} is not distinct from s.{c}" for c in map(quote_identifier, table.column_names)
            )
            self.temporary(
                "outdated_rows", f"select {names} from {table.name} except all select {names} from incoming_rows"
            )
            self.temporary("new_rows", f"select {names} from incoming_rows except all select {names} from {table.name}")
            removed = self.execute(f"delete from {table.name} as t using outdated_rows as s where {condition}")
            added = self.insert(table, "select * from new_rows")
            self.drop("incoming_rows", "outdated_rows", "new_rows")
        return removed, added
