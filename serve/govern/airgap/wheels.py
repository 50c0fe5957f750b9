"""What wheels say of themselves: name, version, licence, what they need. Reads files; installs nothing."""

from __future__ import annotations

import email.parser
import hashlib
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from dovetail.serve.errors import DovetailError

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)([^;]*)(?:;(.*))?")


class BundleProblem(DovetailError):
    """A bundle that cannot be made, or is not what it should be."""

    default_code = "bundle"


@dataclass(frozen=True)
class Wheel:
    """One wheel of a bundle. ``needs``: normalised names, those of extras left out."""

    file: str
    name: str
    version: str
    sha256: str
    licence: str
    summary: str
    needs: tuple[str, ...]


def normalised(name: str) -> str:
    """A project's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_wheel(path: Path) -> Wheel:
    """Raises BundleProblem where it is no wheel."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
            told = email.parser.BytesParser().parsebytes(archive.read(names[0]))
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Wheel(
            file=path.name,
            name=normalised(str(told["Name"])),
            version=str(told["Version"]),
            sha256=digest,
            licence=_licence(told.get("License-Expression"), told.get("License"), told.get_all("Classifier") or []),
            summary=str(told.get("Summary") or ""),
            needs=tuple(sorted({need for each in told.get_all("Requires-Dist") or [] if (need := _needed(str(each)))})),
        )
    except (zipfile.BadZipFile, IndexError, KeyError) as error:
        raise BundleProblem(f"{path} is no wheel: {error}") from error


def read_wheels(folder: Path) -> list[Wheel]:
    """Every wheel in a folder, by name. Raises BundleProblem for anything else in it, and for two versions of one project."""
    others = sorted(path.name for path in folder.iterdir() if path.suffix != ".whl")
    if others:
        raise BundleProblem(f"{folder} holds more than wheels: {', '.join(others)}")
    wheels = sorted((read_wheel(path) for path in folder.iterdir()), key=lambda wheel: wheel.name)
    twice = sorted({wheel.name for wheel in wheels if sum(wheel.name == other.name for other in wheels) > 1})
    if twice:
        raise BundleProblem(f"{folder} holds several wheels of {', '.join(twice)}")
    return wheels


def lock_of(wheels: list[Wheel]) -> str:
    """A requirements file that takes exactly these wheels."""
    return "".join(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in wheels)


def _licence(expression: str | None, text: str | None, classifiers: list[str]) -> str:
    if expression:
        return str(expression)
    named = [each.split(" :: ")[-1] for each in classifiers if each.startswith("License :: ")]
    first = str(text or "").strip().splitlines()
    return "; ".join(named) or (first[0][:100] if first else "not named")


def _needed(requirement: str) -> str | None:
    match = _REQUIREMENT.match(requirement)
    if match is None or "extra" in (match[3] or ""):
        return None
    return normalised(match[1])
