"""Whether expressions fit the types of the columns that they read: asked of the engine on a row of nulls.

Not here: which expressions there are, or what they mean.
"""

import contextlib
from collections.abc import Mapping

import duckdb

from profile_pipeline.table import quote_identifier
from profile_pipeline.warehouse.opening import HARDENED


def binding_faults(expressions: Mapping[str, str], types: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong with each condition that does not fit, by its name.

    Parameters
    ----------
    expressions
        Conditions in SQL, by name.
    types
        DuckDB types of the columns that they may read.
    """
    faults: dict[str, str] = {}
    if not expressions:
        return faults
    with contextlib.closing(duckdb.connect(":memory:", config=HARDENED)) as connection:
        # What is asked was written by a person: it may look at no file.
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        columns = ", ".join(f"{quote_identifier(name)} {kind}" for name, kind in types.items())
        connection.execute(f"create table known ({columns or 'nothing boolean'})")
        # A row of nulls: over none a text that is no date would not be looked at.
        connection.execute("insert into known default values")
        for name, expression in expressions.items():
            try:
                ((_, kind, *_),) = connection.execute(f"describe select ({expression}) as answer from known").fetchall()
                connection.execute(f"select 1 from known where ({expression})").fetchall()
            except duckdb.Error as error:
                faults[name] = str(error).splitlines()[0].partition(": ")[2]
            else:
                if kind != "BOOLEAN":
                    faults[name] = f"it is a {kind.lower()}, not true or false"
    return faults
