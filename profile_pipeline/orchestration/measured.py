"""What the stages of a command cost.

Not here: what a stage does (`running`), or how figures are printed.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Measured:
    """What the stages of a run took: wall and CPU seconds, in order; a stage within another one counts for itself alone."""

    stages: dict[str, tuple[float, float]] = field(default_factory=dict)
    _within: list[tuple[float, float]] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        wall, cpu = time.monotonic(), time.process_time()
        self._within.append((0.0, 0.0))
        try:
            yield
        finally:
            wall, cpu = time.monotonic() - wall, time.process_time() - cpu
            inner = self._within.pop()
            before = self.stages.get(name, (0.0, 0.0))
            self.stages[name] = (before[0] + wall - inner[0], before[1] + cpu - inner[1])
            if self._within:
                self._within[-1] = (self._within[-1][0] + wall, self._within[-1][1] + cpu)
