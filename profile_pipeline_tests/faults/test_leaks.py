"""Many runs in one process: descriptors stay as they are, and memory stays within a bound."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from profile_pipeline_tests.conftest import ROOT
from profile_pipeline_tests.faults.tiny_world import deliver
from profile_pipeline_tests.torture import torture_only

N_RUNS, N_WARM_UP = 300, 30
pytestmark = [pytest.mark.faults, pytest.mark.timeout(7200)]
# The allocator keeps fragments, and the engine's buffers come and go: over 80 runs memory was seen to move between 330 and
# 350 MB, up and down. A tenth is the bound. What holds a file open shows in the descriptors, to the piece.
MOST_GROWTH = 0.1
RUNS = """
import gc, json, os, sys
from pathlib import Path
from profile_pipeline.orchestration.steps import FEATURE_STAGES
from profile_pipeline_tests.faults.tiny_world import runner
r = runner(Path(sys.argv[1]))
r.ingest()
r.build_features(r.days[0], r.days[-1])
told = []
for number in range(int(sys.argv[2])):
    day = r.days[number % len(r.days)]
    r.execute("daily", first=day, last=day, groups=FEATURE_STAGES)
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    told.append((len(os.listdir("/proc/self/fd")), pages * os.sysconf("SC_PAGE_SIZE") / 1e6))
print(json.dumps(told))
"""


@torture_only
def test_runs_in_one_process_leave_neither_descriptors_nor_memory(tiny: Path, tmp_path: Path) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory and descriptors are read from /proc, which is not here")
    deliver(tiny, "first", tmp_path)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUNS, str(tmp_path), str(N_RUNS)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])[N_WARM_UP:]
    descriptors, megabytes = [n for n, _ in told], [m for _, m in told]
    assert set(descriptors) == {descriptors[0]}
    third = len(told) // 3
    grown = sorted(megabytes[-third:])[third // 2] - sorted(megabytes[:third])[third // 2]
    assert grown <= MOST_GROWTH * megabytes[0], [round(m) for m in megabytes]
