"""benchmarks/gpu/run.py runs to its end with tiny shapes on a CPU, and says so where there is no GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu" / "run.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, env=environment, check=False
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so() -> None:
    done = run()
    assert done.returncode == 2 and "no CUDA device" in done.stderr and not done.stdout


def test_large_shapes_are_not_for_a_cpu() -> None:
    done = run("--device", "cpu", "--shape", "7b")
    assert done.returncode == 2 and "--shape tiny" in done.stderr


@pytest.mark.timeout(300)
def test_it_measures_everything_of_tiny_shapes(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    done = run("--device", "cpu", "--shape", "tiny", "--shape", "tiny-experts", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert json.loads(out.read_text()) == result
    assert {row["operator"] for row in result["operators"]} >= {
        "add_rms_norm",
        "attention, decoding",
        "linear, int4",
        "experts",
        "masked draw",
    }
    assert all(row["right"] and row["microseconds"] > 0 for row in result["operators"])
    for shape in ("tiny", "tiny-experts"):
        figures = result["models"][shape]
        assert set(figures["tokens_per_s"]) == {"1", "2"} and figures["transformers"]
        assert figures["edits"]["edits"] == 2 and set(figures["edits"]["drafted_over_undrafted"]) == {"1", "2"}
