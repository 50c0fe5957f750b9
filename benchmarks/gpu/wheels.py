"""The packages that a machine with torch, Triton and transformers, and no network, still lacks: gathered here as wheels, installed there.

    python benchmarks/gpu/wheels.py gather .whl             # here: what pyproject.toml names, as constraints.txt pins it
    python benchmarks/gpu/wheels.py install .whl /tmp/site  # there; then PYTHONPATH=/tmp/site:. python benchmarks/gpu/run.py

For CPython 3.12 on x86-64 Linux. What such a machine has is left as it is; extras are left out.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

ROOT = Path(__file__).parents[2]
THERE = frozenset({
    "torch", "triton", "transformers", "numpy", "safetensors", "sentencepiece", "tokenizers", "jinja2", "packaging", "huggingface-hub",
    "httpx", "rich", "typer", "prometheus-client",
})  # fmt: skip
"""What is there already, and what comes with it."""
GLIBCS = (39, 35, 34, 31, 28, 27, 24, 17)
LIMIT = 60 * 2**20
"""Bytes that fit in one parcel."""


def needed(python: str = "3.12") -> list[str]:
    """``name==version`` of every package, those that others need included; read from this environment."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = {
        canonicalize_name(name): version
        for name, version in re.findall(r"(?m)^([\w.\-]+)==(\S+)$", (ROOT / "constraints.txt").read_text())
    }
    environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    left = [Requirement(line) for line in project["dependencies"]]
    found: dict[str, str] = {}
    while left:
        each = left.pop()
        name = canonicalize_name(each.name)
        if name in THERE or name in found or (each.marker is not None and not each.marker.evaluate(environment)):
            continue
        found[name] = pins[name]
        left += [Requirement(line) for line in requires(name) or ()]
    return sorted(f"{name}=={version}" for name, version in found.items())


def gather(folder: Path) -> int:
    """Fetch the wheels; the exit status."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    ]
    command += ["--python-version", "3.12", "--implementation", "cp", "-d", str(folder)]
    for glibc in GLIBCS:
        command += ["--platform", f"manylinux_2_{glibc}_x86_64"]
    command += ["--platform", "manylinux2014_x86_64", "--platform", "manylinux1_x86_64", *needed()]
    done = subprocess.run(command, check=False).returncode
    size = sum(file.stat().st_size for file in folder.glob("*.whl"))
    print(f"{len(list(folder.glob('*.whl')))} wheels, {size / 2**20:.1f} MiB")
    return done or int(size > LIMIT)


def install(folder: Path, target: Path) -> int:
    """Unpack them, with no network; the exit status."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--no-index",
        "--no-deps",
        "--no-compile",
    ]
    command += ["--no-cache-dir", "--upgrade", "--target", str(target), *map(str, sorted(folder.glob("*.whl")))]
    return subprocess.run(command, check=False).returncode


def main() -> int:
    """Parse and do it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["gather", "install"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("target", type=Path, nargs="?")
    options = parser.parse_args()
    if options.what == "gather":
        return gather(options.folder)
    if options.target is None:
        parser.error("install needs a folder to install into")
    return install(options.folder, options.target)


if __name__ == "__main__":
    sys.exit(main())
