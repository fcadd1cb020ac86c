"""Why a run in this process failed, in words for who started it.

Not here: runs (`steps`), or what storage says when it fails (`warehouse.faults`).
"""

from typing import Any

import dagster as dg

from profile_pipeline.paths import Paths
from profile_pipeline.warehouse.faults import INTERRUPTED_QUERY, explained

# Errors of the engine, the disk and Dagster's own databases, as Dagster's log names them.
OF_STORAGE = {
    "Error", "IOException", "FatalException", "InternalException", "OutOfMemoryException", "SerializationException", "TransactionException",
    "OSError", "PermissionError", "MemoryError", "OperationalError",
}  # fmt: skip

INTERRUPTS = {"DagsterExecutionInterruptedError", "KeyboardInterrupt"}


def _error_of(event: dg.DagsterEvent) -> Any:
    error = event.step_failure_data.error
    return error.cause if error and error.cause else error


def was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Say whether a step was ended by Ctrl-C, be it in Python or within a query, and whatever failed because of it."""
    waiting = [e.step_failure_data.error for e in result.all_events if e.is_step_failure]
    while waiting:
        if error := waiting.pop():
            if error.cls_name in INTERRUPTS or INTERRUPTED_QUERY in error.message:
                return True
            waiting += [error.cause, error.context]
    return False


def reason_of(result: dg.ExecuteInProcessResult, paths: Paths) -> str:
    """What the failed step said, without the stack."""
    for event in result.all_events:
        if event.is_step_failure:
            error = _error_of(event)
            words = error.message.strip() if error else "failed"
            name, _, text = words.partition(": ")
            storage = explained(text or name, paths.warehouse) if error and error.cls_name in OF_STORAGE else None
            return f"{event.step_key}: {storage or text or name}"
    return "the run failed before a step began; the run's page in the UI says why"
