"""Makes an offline bundle with pip, and checks one without."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Environment

from dovetail.serve.govern.airgap.sbom import bill_of_materials
from dovetail.serve.govern.airgap.wheels import BundleProblem, Wheel, environment_of, lock_of, read_wheels
from dovetail.serve.govern.weights.files import digests_of, require_sane
from dovetail.serve.govern.weights.signature import require_signed, sign

PROJECT = "dovetail"
SUMS = "SHA256SUMS"
_INSTALL = """#!/bin/sh
# Installs Dovetail into a new virtual environment, from this folder alone: sh install.sh TARGET
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=${1:?give the folder to install into: sh install.sh TARGET}
(cd "$here" && sha256sum --check --quiet --strict SHA256SUMS)
"${PYTHON:-python3}" -m venv "$target"
"$target/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$here/wheels" \\
    --require-hashes -r "$here/requirements.lock"
"$target/bin/dovetail" --version
echo "Start a server with: $target/bin/dovetail serve"
"""


_LEGACY = {"manylinux2014": 17, "manylinux2010": 12, "manylinux1": 5}
"""Older names, by their version of glibc."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What goes into a bundle. ``wheel`` None: the project's is built from ``source``. ``python``, ``platforms`` None: this one's.

    ``model`` None: the embedded one, which is in the project's wheel. ``sign``: a private key to sign the model with.
    """

    source: Path
    wheel: Path | None = None
    constraints: Path
    python: str | None = None
    platforms: tuple[str, ...] = ()
    model: Path | None = None
    sign: Path | None = None


def make_bundle(out: Path, plan: Plan) -> list[Wheel]:
    """Make the bundle in ``out``, which must be new or empty. Raises BundleProblem."""
    if out.exists() and any(out.iterdir()):
        raise BundleProblem(f"{out} is not empty")
    if not plan.constraints.is_file():
        raise BundleProblem(f"{plan.constraints} is not there: name the pinned versions with --constraints FILE")
    folder = out / "wheels"
    folder.mkdir(parents=True)
    if plan.wheel is None:
        _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(plan.source))
    else:
        shutil.copy(plan.wheel, folder)
    environment = environment_of(plan.python, plan.platforms)
    wheels = _collected(folder, next(folder.glob(f"{PROJECT}-*.whl")), plan, environment)
    (out / "requirements.lock").write_text(lock_of(wheels), encoding="utf-8")
    (out / "sbom.cdx.json").write_text(
        json.dumps(bill_of_materials(wheels, PROJECT), indent=1) + "\n", encoding="utf-8"
    )
    (out / "install.sh").write_text(_INSTALL, encoding="utf-8")
    (out / "install.sh").chmod(0o755)
    if plan.model is not None:
        _add_model(out / "model" / plan.model.resolve().name, plan.model, plan.sign)
    (out / SUMS).write_text(_sums(out), encoding="utf-8")
    return wheels


def _collected(folder: Path, own: Path, plan: Plan, environment: Environment) -> list[Wheel]:
    """The wheels that ``own`` needs, and those that only the other Python or platform needs: pip asks about this one."""
    where = [part for each in _platforms(plan, own) for part in ("--platform", each)]
    where += ["--python-version", plan.python] if plan.python is not None else []
    options = ("--only-binary", ":all:", *where, "-c", str(plan.constraints), "--dest", str(folder))
    wheels: list[Wheel] = []
    missing, before = [str(own)], [""]
    while missing:
        if missing == before:
            raise BundleProblem(f"pip finds no wheels of {', '.join(missing)}")
        _pip("download", *options, *missing)
        wheels = read_wheels(folder, environment)
        there = {wheel.name for wheel in wheels}
        missing, before = sorted({need for wheel in wheels for need in wheel.needs} - there), missing
    return wheels


def _platforms(plan: Plan, own: Path) -> list[str]:
    """The platforms to ask pip for: it takes no older manylinux for a newer one by itself. Raises BundleProblem where the
    project's own wheel is for another machine."""
    built = own.stem.rsplit("-", 1)[1].split(".")
    asked = [tag for platform in plan.platforms for tag in _older(platform)]
    if not asked or "any" in built:
        return asked
    machines = {platform.rpartition("linux")[2].lstrip("_0123456789") for platform in plan.platforms}
    if machines != {tag.removeprefix("linux_") for tag in built}:
        raise BundleProblem(
            f"the project's wheel has libraries for {', '.join(built)}, and the bundle is for {', '.join(plan.platforms)}: "
            "build the wheel there (pip wheel --no-deps .) and name it with --wheel FILE"
        )
    return [*asked, *built]


def _older(platform: str) -> list[str]:
    """A platform, and the older ones whose wheels it takes."""
    match = re.fullmatch(r"manylinux_2_(\d+)_(.+)", platform)
    if match is None:
        return [platform]
    newest, machine = int(match[1]), match[2]
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, 4, -1)]
    return tags + [f"{name}_{machine}" for name, minor in _LEGACY.items() if minor <= newest]


def check_bundle(out: Path, key: Path | None = None) -> list[Wheel]:
    """Raise BundleProblem or WeightsProblem unless the bundle is whole; with ``key``, its models must be signed with it."""
    sums = out / SUMS
    if not sums.is_file():
        raise BundleProblem(f"{out} is no bundle: it has no {SUMS}")
    expected, found = _parsed(sums), _parsed_text(_sums(out))
    differing = [
        *(f"{name} is missing" for name in expected if name not in found),
        *(f"{name} was added" for name in found if name not in expected),
        *(f"{name} was changed" for name in expected if name in found and found[name] != expected[name]),
    ]
    if differing:
        raise BundleProblem(f"{out} is not what its {SUMS} lists: {'; '.join(differing)}")
    wheels = read_wheels(out / "wheels")
    if (out / "requirements.lock").read_text(encoding="utf-8") != lock_of(wheels):
        raise BundleProblem(f"{out}/requirements.lock does not name the wheels that are there")
    bill = json.loads((out / "sbom.cdx.json").read_text(encoding="utf-8"))
    told = {(each["name"], each["version"]) for each in (bill["metadata"]["component"], *bill["components"])}
    if told != {(wheel.name, wheel.version) for wheel in wheels}:
        raise BundleProblem(f"{out}/sbom.cdx.json does not name the wheels that are there")
    models = sorted((out / "model").iterdir()) if (out / "model").is_dir() else []
    for model in models:
        files = digests_of(model)
        require_sane(model, files)
        if key is not None:
            require_signed(model, files, key)
    return wheels


def _add_model(target: Path, model: Path, key: Path | None) -> None:
    require_sane(model, digests_of(model))
    shutil.copytree(model, target)
    if key is not None:
        sign(target, digests_of(target), key)


def _sums(out: Path) -> str:
    lines = []
    for path in sorted(out.rglob("*")):
        if path.is_file() and path != out / SUMS:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            lines.append(f"{digest}  {path.relative_to(out).as_posix()}\n")
    return "".join(lines)


def _parsed(sums: Path) -> dict[str, str]:
    return _parsed_text(sums.read_text(encoding="utf-8"))


def _parsed_text(text: str) -> dict[str, str]:
    return {name: digest for digest, _, name in (line.partition("  ") for line in text.splitlines())}


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()[-3:]
        # pip tells whose versions do not fit among what it says when all goes well.
        _, _, conflict = done.stdout.partition("The conflict is caused by:\n")
        causes = [line.strip() for line in conflict.partition("\n\n")[0].splitlines()]
        raise BundleProblem(f"pip {arguments[0]} failed: {' '.join(said)} {'; '.join(causes)}".rstrip())
