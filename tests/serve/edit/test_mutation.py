"""True edits with one token changed are refused no later than the gate, or are other valid edits: the benchmark, in small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "edit_mutation.py"


def test_no_corruption_escapes() -> None:
    command = [sys.executable, str(BENCHMARK), "--mutations", "800", "--seed", "11"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout.strip().split("\n")[-1])
    assert (report["mutations"], report["escapes"], report["true_refused"]) == (800, 0, 0)
    assert report["refused"] > 400
    assert len(report["by_format"]) == 5
    assert len(report["by_language"]) >= 10
