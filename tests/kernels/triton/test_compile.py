"""All kernels compile for a GPU that is not here, with few registers spilled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.triton
SCRIPT = Path(__file__).parents[3] / "benchmarks" / "gpu" / "compile_kernels.py"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("capability", "shared", "stack"), [(90, 227, 128), (89, 99, 512)])
def test_every_kernel_compiles(tmp_path: Path, capability: int, shared: int, stack: int) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, SCRIPT, "--capability", str(capability)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kernels = json.loads(done.stdout.splitlines()[-1])["kernels"]
    assert {row["kernel"] for row in kernels} >= {
        "_attend", "_reduce", "_copy", "_draw", "_grouped", "_linear", "_add_parts", "_unpack", "_round_rows", "_prepare",
    }  # fmt: skip
    for row in kernels:
        assert row["shared"] <= shared * 1024, f"{row['case']} needs more shared memory than a multiprocessor has"
        assert row["stack"] <= stack, f"{row['case']} spills its registers"
        wanted = {"_attend", "_grouped", "_linear"}
        assert (row["matrix"] != "none") == (row["kernel"] in wanted), row
