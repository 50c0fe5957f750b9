"""benchmarks/gpu runs to its end with tiny shapes on a CPU, says so where there is no GPU, and outlives a part that crashes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks" / "gpu"
SCRIPT = FOLDER / "run.py"


def run(*arguments: str, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, script, *arguments], capture_output=True, text=True, env=environment, check=False
    )


@pytest.fixture(scope="module")
def targets() -> Any:
    sys.path.append(str(FOLDER))
    import targets

    return targets


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so() -> None:
    done = run()
    assert done.returncode == 2 and "no CUDA device" in done.stderr and "FAILED" not in done.stdout


def test_large_shapes_are_not_for_a_cpu() -> None:
    done = run("--device", "cpu", "--shape", "7b")
    assert done.returncode == 2 and "--shape tiny" in done.stderr


def test_the_most_important_comes_first() -> None:
    parts = run("--list").stdout.split()
    assert parts[:3] == ["ceilings", "operators", "streams:7b"] and "vllm:7b" in parts
    assert run("--list", "--shape", "0.5b", "--only", "edits").stdout.split() == ["ceilings", "edits:0.5b"]
    nothing = run("--list", "--only", "nothing")
    assert nothing.returncode == 2


@pytest.mark.timeout(300)
def test_it_measures_everything_of_tiny_shapes(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    some = ("operators", "streams", "edits:tiny", "quantised:tiny-experts", "transformers:tiny", "returning:tiny")
    chosen = [word for name in some for word in ("--only", name)]
    done = run("--device", "cpu", "--shape", "tiny", "--shape", "tiny-experts", "--out", str(out), *chosen)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert json.loads(out.read_text()) == result and not result["failed"] and not result["not measured"]
    parts = result["parts"]
    assert set(parts["operators"]) >= {
        "add_rms_norm",
        "attention, decoding",
        "linear, int4, rows 1",
        "experts, int4",
        "masked draw",
    }
    assert all(row["right"] and row["microseconds"] > 0 for row in parts["operators"].values())
    for shape in ("tiny", "tiny-experts"):
        assert {"1", "2", "prompt", "shared prefix", "drafted, 1"} <= set(parts[f"streams:{shape}"])
    assert parts["edits:tiny"]["asked"]["edits"] == 2 and {"drafted, 1", "drafted, 2"} <= set(parts["edits:tiny"])
    assert set(parts["returning:tiny"]) == {"computed again", "from host memory", "from disk"}


def test_what_crashes_takes_nothing_with_it(tmp_path: Path) -> None:
    """The driver, over a part that dies once in the middle and once at its start."""
    (tmp_path / "part.py").write_text(
        "import json, os, sys\n"
        "skip = json.loads(sys.argv[sys.argv.index('--skip') + 1])\n"
        "if sys.argv[1] == 'operators' and 'a' not in skip:\n    print('noise')\n"
        "if sys.argv[1] == 'streams:tiny':\n    sys.exit('no such model')\n"
        "for key in 'abc':\n"
        "    if key in skip: continue\n"
        "    print(json.dumps({'key': key}), flush=True)\n"
        "    if key == 'b' and sys.argv[1] == 'operators': os.abort()\n"
        "    print(json.dumps({'key': key, 'value': {'right': True, 'device': 'x', 'torch': '1'}}), flush=True)\n"
    )
    for name in ("run.py", "targets.py"):
        (tmp_path / name).write_text((FOLDER / name).read_text())
    parts = ("--only", "operators", "--only", "streams")
    done = run("--device", "cpu", "--shape", "tiny", *parts, script=tmp_path / "run.py")
    result = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 1 and "noise" in done.stdout
    assert set(result["parts"]["operators"]) == {"a", "c"} and set(result["failed"]["operators"]) == {"b"}
    assert "no such model" in result["failed"]["streams:tiny"]["start"]


def test_verdicts_are_of_what_was_measured(targets: Any) -> None:
    parts = {"streams:7b": {"1": {"share_of_bandwidth": 0.86}, "synchronisations": {"each_step": 1.0}}}
    found = {each["wanted"]: each["met"] for each in targets.verdicts(parts)}
    assert len(found) == 2 and sorted(found.values()) == [False, True]


def test_what_a_machine_lacks_is_known_by_name() -> None:
    program = "import json, sys; sys.path.append(sys.argv[1]); import wheels; print(json.dumps(wheels.needed()))"
    done = subprocess.run([sys.executable, "-c", program, FOLDER], capture_output=True, text=True, check=True)
    names = {each.partition("==")[0] for each in json.loads(done.stdout)}
    assert {"llguidance", "tree-sitter-python", "msgspec", "pyzmq", "pydantic-core", "cffi"} <= names
    assert not names & {"torch", "triton", "transformers", "numpy", "filelock", "sympy"}
