"""The training text: which packages, under which licence, read, cleaned and deduplicated.

Knows the Python standard library of the running interpreter and a pinned list of wheels that pip
fetches. Knows nothing of tokens or tasks. Packages marked `held_out` never reach training: they
are what evaluation is done on.
"""

import ast
import hashlib
import itertools
import os
import platform
import random
import re
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT_CACHE: Final = Path.home() / ".cache" / "dovetail" / "embedded"


@dataclass(frozen=True)
class Package:
    """One pinned wheel of the package index."""

    name: str
    version: str
    licence: str
    held_out: bool = False


PACKAGES: Final = (
    Package("boltons", "26.2.0", "BSD-3-Clause"),
    Package("click", "8.5.1", "BSD-3-Clause"),
    Package("django", "5.2.19", "BSD-3-Clause"),
    Package("fastapi", "0.165.0", "MIT"),
    Package("flask", "3.1.3", "BSD-3-Clause"),
    Package("httpx", "0.28.1", "BSD-3-Clause"),
    Package("jinja2", "3.1.6", "BSD-3-Clause"),
    Package("marshmallow", "4.4.0", "MIT"),
    Package("networkx", "3.6.1", "BSD-3-Clause"),
    Package("peewee", "4.5.3", "MIT"),
    Package("pydantic", "2.14.3", "MIT"),
    Package("pytest", "9.2.0", "MIT"),
    Package("requests", "2.34.2", "Apache-2.0"),
    Package("rich", "15.0.0", "MIT"),
    Package("sympy", "1.14.0", "BSD-3-Clause"),
    Package("toolz", "1.2.0", "BSD-3-Clause"),
    Package("typer", "0.29.2", "MIT"),
    Package("uvicorn", "0.54.0", "BSD-3-Clause"),
    Package("werkzeug", "3.1.9", "BSD-3-Clause"),
    Package("attrs", "26.1.0", "MIT", held_out=True),
    Package("bottle", "0.13.4", "MIT", held_out=True),
    Package("starlette", "1.10.0", "BSD-3-Clause", held_out=True),
)
STANDARD_LIBRARY_LICENCE: Final = "PSF-2.0"
PACKAGE_BYTES_LIMIT: Final = 5_000_000  # no package may be more than this much of the text

_SKIPPED_FOLDERS: Final = frozenset(
    {"test", "tests", "testing", "_vendor", "vendored", "site-packages", "lib2to3", "idlelib", "turtledemo", "tkinter"}
    | {"pydoc_data", "encodings", "locale", "__pycache__", "benchmarks", "examples", "migrations"}
)
_GENERATED: Final = re.compile(r"(?i)do not edit|@generated|generated (by|from|automatically)|automatically generated")
_FOREIGN: Final = re.compile(
    r"SPDX-License-Identifier:(?! *(?:MIT|BSD|Apache|PSF|ISC|Python|0BSD|Unlicense))|GNU (?:Lesser |Affero |Library )?General Public"
    r"|\b[AL]?GPL|Mozilla Public|Creative Commons|CDDL|Eclipse Public",
    re.IGNORECASE,
)
_SPDX: Final = re.compile(r"SPDX-License-Identifier: *([\w.+-]+)")
_HEAD: Final = 3000  # a file that has a licence of its own says so in its first characters
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w")
_SECRET: Final = re.compile(
    r"AKIA[0-9A-Z]{16}|gh[pousr]_\w{30,}|\bsk-[\w-]{20,}|xox[abprs]-[\w-]{10,}|AIza[\w-]{30,}|eyJ[\w-]{20,}\.[\w-]{10,}|-----BEGIN [A-Z ]+-----|\b[0-9a-fA-F]{32,}\b|[A-Za-z0-9+/]{48,}={0,2}"
)


@dataclass(frozen=True)
class SourceFile:
    """One cleaned Python file. `licence`: what it says of itself, or else its package's; `digest`: of the file as it was read."""

    package: str
    path: str
    text: str
    licence: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Corpus:
    """Training and held-out files, and the record of where they came from."""

    train: tuple[SourceFile, ...]
    held_out: tuple[SourceFile, ...]
    record: tuple[dict[str, object], ...]

    def files_table(self) -> str:
        """One line per file: package, path, licence, use, characters, SHA-256; tab-separated, with a header."""
        rows = ["package\tpath\tlicence\tuse\tcharacters\tsha256"]
        for use, files in (("evaluation", self.held_out), ("training", self.train)):
            rows += [f"{f.package}\t{f.path}\t{f.licence}\t{use}\t{len(f.text)}\t{f.digest}" for f in files]
        return "\n".join(rows) + "\n"


class Shelf:
    """Files to draw from: all alike, or ``by_package``: a package in proportion to the square root of its text, then its files alike."""

    def __init__(self, files: Sequence[SourceFile], *, by_package: bool = False) -> None:
        self.files = files
        self._cumulative: list[float] | None = None
        if by_package:
            characters, count = Counter[str](), Counter(file.package for file in files)
            for file in files:
                characters[file.package] += len(file.text)
            weights = [characters[file.package] ** 0.5 / count[file.package] for file in files]
            self._cumulative = list(itertools.accumulate(weights))

    def draw(self, rng: random.Random) -> SourceFile:
        """One file."""
        if self._cumulative is None:
            return rng.choice(self.files)
        return rng.choices(self.files, cum_weights=self._cumulative)[0]


def scrub(text: str) -> str:
    """Replace e-mail addresses and anything that looks like a key."""
    return _SECRET.sub("REDACTED", _EMAIL.sub("user@example.com", text))


def usable(text: str) -> bool:
    """Whether a file is hand-written Python of a size and shape worth learning from."""
    if not 200 <= len(text) <= 200_000 or _GENERATED.search(text[:1000]):
        return False
    lines = text.splitlines()
    if max(map(len, lines)) > 300 or len(text) / len(lines) > 70 or "\r" in text or "\x0c" in text:
        return False
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def wheel_path(package: Package, cache: Path) -> Path | None:
    """The cached wheel of a package, if it is there."""
    stem = package.name.replace("-", "_")
    return next(iter(sorted(cache.glob(f"{stem}-{package.version}-*.whl"))), None)


def fetch(cache: Path, packages: tuple[Package, ...] = PACKAGES) -> None:
    """Download the pinned wheels that are not cached yet, with pip and without dependencies."""
    cache.mkdir(parents=True, exist_ok=True)
    missing = [f"{p.name}=={p.version}" for p in packages if wheel_path(p, cache) is None]
    if missing:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*command, "--disable-pip-version-check", "--dest", str(cache), *missing], check=True)


def _wheel_files(path: Path) -> Iterator[tuple[str, str]]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".py"):
                yield name, archive.read(name).decode("utf-8", errors="ignore")


def _library_files() -> Iterator[tuple[str, str]]:
    root = Path(os.__file__).parent
    for path in sorted(root.rglob("*.py")):
        yield str(path.relative_to(root)), path.read_text("utf-8", errors="ignore")


def licence_of(text: str, package_licence: str) -> str | None:
    """The licence of one file; None where its head names one that is not permissive."""
    head = text[:_HEAD]
    if _FOREIGN.search(head):
        return None
    said = _SPDX.search(head)
    return said.group(1) if said else package_licence


def _clean(package: str, licence: str, files: Iterator[tuple[str, str]], seen: set[int]) -> Iterator[SourceFile]:
    """Usable files of one package, without those most of whose lines were seen before."""
    total = 0
    for path, raw in files:
        parts = path.split("/")
        own = licence_of(raw, licence)
        if own is None or _SKIPPED_FOLDERS.intersection(parts) or parts[-1].startswith("test_") or not usable(raw):
            continue
        text = scrub(raw)
        lines = {hash_line(line) for line in text.splitlines() if len(line.strip()) > 20}
        if not lines or len(lines & seen) > 0.6 * len(lines) or total + len(text) > PACKAGE_BYTES_LIMIT:
            continue
        seen |= lines
        total += len(text)
        yield SourceFile(package, path, text, own, hashlib.sha256(raw.encode()).hexdigest())


def hash_line(line: str) -> int:
    """A hash of a line that is the same in every run, unlike `hash`."""
    return int.from_bytes(hashlib.blake2b(line.strip().encode(), digest_size=8).digest(), "big")


def _entry(name: str, version: str, licence: str, held_out: bool, files: list[SourceFile]) -> dict[str, object]:
    return {
        "name": name,
        "version": version,
        "licence": licence,
        "use": "evaluation only" if held_out else "training",
        "files": len(files),
        "characters": sum(len(f.text) for f in files),
    }


def _read_package(package: Package, cache: Path, seen: set[int]) -> tuple[list[SourceFile], dict[str, object]]:
    path = wheel_path(package, cache)
    if path is None:
        raise FileNotFoundError(f"pip did not deliver a wheel of {package.name} {package.version} into {cache}")
    files = list(_clean(package.name, package.licence, _wheel_files(path), seen))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = _entry(package.name, package.version, package.licence, package.held_out, files)
    return files, {**entry, "wheel": path.name, "wheel_sha256": digest}


def read_held_out(cache: Path = DEFAULT_CACHE) -> tuple[SourceFile, ...]:
    """The held-out files alone, as `read_corpus` gives them."""
    packages = tuple(sorted((p for p in PACKAGES if p.held_out), key=lambda p: p.name))
    fetch(cache, packages)
    seen: set[int] = set()
    return tuple(file for package in packages for file in _read_package(package, cache, seen)[0])


def read_corpus(cache: Path = DEFAULT_CACHE) -> Corpus:
    """Read everything. Held-out packages are read first, so that copies of them in others drop out."""
    fetch(cache)
    seen: set[int] = set()
    train: list[SourceFile] = []
    held_out: list[SourceFile] = []
    record: list[dict[str, object]] = []
    for package in sorted(PACKAGES, key=lambda p: (not p.held_out, p.name)):
        files, entry = _read_package(package, cache, seen)
        (held_out if package.held_out else train).extend(files)
        record.append(entry)
    library = list(_clean("python", STANDARD_LIBRARY_LICENCE, _library_files(), seen))
    train.extend(library)
    record.append(
        _entry("python standard library", platform.python_version(), STANDARD_LIBRARY_LICENCE, False, library)
    )
    return Corpus(tuple(train), tuple(held_out), tuple(record))
