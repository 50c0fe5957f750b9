"""Real packages with their tests, as their authors published them: pinned source archives from PyPI, by hash."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from shop import ALONE

from dovetail.agent.repo.globs import matches

_LARGEST = 1 << 20


class Package(NamedTuple):
    """One published version. ``take``: the files of it that make the project; its settings are left out."""

    name: str
    version: str
    licence: str
    sha256: str
    take: tuple[str, ...]


PACKAGES = {
    each.name: each
    for each in (
        Package("cachetools", "5.5.2", "MIT", "1a661caa9175d26759571b2e19580f9d6393969e5dfca11fdb1f947a23e640d4", ("src/cachetools/**", "tests/**", "LICENSE", "README.rst")),
        Package("inflection", "0.5.1", "MIT", "1a29730d366e996aaacffb2f1f1cb9593dc38e2ddd30c91250c6dde09ea9b417", ("inflection/**", "test_inflection.py", "LICENSE", "README.rst")),
        Package("parse", "1.20.2", "MIT", "b41d604d16503c79d81af5165155c0b20f6c8d6c559efa66b4b695c3e5a0a0ce", ("parse.py", "tests/**", "LICENSE", "README.rst")),
        Package("toolz", "1.0.0", "BSD-3-Clause", "2c86e3d9a04798ac556793bced838816296a2f085017664e4995cb40a1047a02", ("toolz/**", "tlz/**", "LICENSE.txt", "README.rst")),
    )
}  # fmt: skip


def read_package(package: Package) -> dict[str, str]:
    """The texts of a package's files by path; fetched once, by pip, and kept in the user's cache."""
    files = {"pytest.ini": ALONE}
    with tarfile.open(_archive(package)) as archive:
        for member in archive:
            path = member.name.partition("/")[2]
            if not member.isfile() or member.size > _LARGEST or not matches(path, package.take):
                continue
            content = archive.extractfile(member)
            assert content is not None
            files[path] = content.read().decode("utf-8")
    return files


def _archive(package: Package, environment: Mapping[str, str] = os.environ) -> Path:
    cache = Path(environment.get("XDG_CACHE_HOME", "") or Path("~/.cache").expanduser())
    folder = cache / "dovetail" / "benchmarks"
    path = folder / f"{package.name}-{package.version}.tar.gz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = folder / f"{package.name}.txt"
        wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
        options = ("--quiet", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes")
        command = [sys.executable, "-m", "pip", "download", *options, "-d", str(folder), "-r", str(wanted)]
        subprocess.run(command, check=True)
    return path
