"""Every manifest under deploy/kubernetes, held against Kubernetes' own schemas: no field that it does not know."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from install import CACHE

pytestmark = pytest.mark.gateway

FOLDER = Path(__file__).parents[3] / "deploy" / "kubernetes"
FILES = sorted(path for path in FOLDER.rglob("*.yaml") if path.name != "prometheus-adapter.yaml")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_kubernetes_takes_it(path: Path) -> None:
    program = CACHE / "venv" / "bin" / "kubernetes-validate"
    told = subprocess.run([program, "--strict", path], capture_output=True, text=True, check=False, timeout=100)
    assert told.returncode == 0, told.stdout + told.stderr


def test_the_check_can_fail(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((FOLDER / "service.yaml").read_text().replace("selector:", "selektor:"))
    program = CACHE / "venv" / "bin" / "kubernetes-validate"
    assert subprocess.run([program, "--strict", wrong], capture_output=True, check=False, timeout=100).returncode
