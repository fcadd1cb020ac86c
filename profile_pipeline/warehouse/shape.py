"""How the tables that are there differ from those that should be, and what mends it.

Not here: any table, or a database: what is there comes as columns with their types, by table.
"""

from collections.abc import Mapping, Sequence

from profile_pipeline.table import Table, quote_identifier

Existing = Mapping[str, Mapping[str, str]]


def type_faults(wanted: Sequence[Table], existing: Existing) -> list[str]:
    """Return the columns that have another type than they should: rows of both can't stand in one table."""
    return [
        f"{table.name}.{column.name} is {kind}, expected {column.type}"
        for table in wanted
        for column in table.columns
        if (kind := existing.get(table.name, {}).get(column.name, column.type)) != column.type
    ]


def missing_parts(wanted: Sequence[Table], existing: Existing) -> list[str]:
    """Return the statements that create missing schemas and tables, and columns that a table has gained."""
    missing = [table for table in wanted if table.name not in existing]
    return [
        *(f"create schema if not exists {quote_identifier(s)}" for s in dict.fromkeys(t.schema for t in missing)),
        *(table.ddl() for table in missing),
        *(
            f"alter table {table.name} add column {quote_identifier(column.name)} {column.type}"
            for table in wanted
            for column in table.columns
            if table.name in existing and column.name not in existing[table.name]
        ),
    ]
