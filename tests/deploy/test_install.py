"""What Dockerfile.cuda does, without Docker: the wheel in a fresh environment, started as there, with no network at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from isolated import NAMESPACE, can_isolate

ROOT = Path(__file__).parents[2]
SERVE = """
set -e
"$1/bin/pip" install -q --no-index --no-deps "$2"
cd "$3"
DOVETAIL_HOST=0.0.0.0 DOVETAIL_KEYS="$3/keys.db" "$1/bin/dovetail" serve --port 8000 > "$3/log" 2>&1 &
for _ in $(seq 240); do
  if "$1/bin/python" -c "$4" 2> /dev/null; then kill -TERM $!; wait $!; exit 0; fi
  kill -0 $! || exit 3
  sleep 0.5
done
exit 4
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not can_isolate(), reason="this machine lets us make no namespace")
def test_the_image_steps_work_without_a_network(tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("dovetail-*.whl")
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    # What the index gave here: the dependencies of this very environment, without its own copy of Dovetail.
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = environment / "lib" / version / "site-packages"
    for part in Path(sysconfig.get_path("purelib")).iterdir():
        if "dovetail" not in part.name and not (site / part.name).exists():
            (site / part.name).symlink_to(part)
    (line,) = [
        each for each in (ROOT / "Dockerfile.cuda").read_text().splitlines() if each.strip().startswith('CMD ["python"')
    ]
    check = json.loads(line.strip().removeprefix("CMD "))[2]
    state = tmp_path / "state"
    state.mkdir()
    counted = tmp_path / "counted"
    isolated = [*NAMESPACE, sys.executable, ROOT / "tests" / "isolated.py", counted]
    namespace = [*isolated, "sh", "-c", SERVE, "sh", environment, wheel, state, check]
    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(namespace, env=clean, capture_output=True, text=True, check=False)
    log = (state / "log").read_text() if (state / "log").is_file() else ""
    assert json.loads(counted.read_text()) == {"no route": 0, "datagrams": 0}, "it asked for the network"
    assert done.returncode == 0, f"{done.stderr}\n{log}"
