"""What wheels say of themselves: name, version, licence, what they need. Reads files; installs nothing."""

from __future__ import annotations

import email.parser
import hashlib
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Environment, default_environment
from packaging.requirements import InvalidRequirement, Requirement

from dovetail.serve.errors import DovetailError

_PLATFORM = re.compile(r"(?P<system>manylinux|musllinux|linux|macosx|win)(?:\d+|_\d+_\d+)?_(?P<machine>[a-z0-9_]+)")
_SYSTEMS = {
    **dict.fromkeys(("manylinux", "musllinux", "linux"), ("Linux", "linux", "posix")),
    "macosx": ("Darwin", "darwin", "posix"),
    "win": ("Windows", "win32", "nt"),
}


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


def environment_of(python: str | None, platforms: Sequence[str]) -> Environment:
    """What conditions of requirements are asked about: this machine, or another Python and platform. Raises BundleProblem."""
    environment = default_environment()
    if python is not None:
        if not re.fullmatch(r"3\.\d{1,2}", python):
            raise BundleProblem(f"--python {python}: a version such as 3.12 is wanted")
        environment |= {"python_version": python, "python_full_version": f"{python}.0"}
    for platform in platforms:
        match = _PLATFORM.fullmatch(platform)
        if match is None:
            raise BundleProblem(f"--platform {platform}: a tag of wheels such as manylinux_2_28_x86_64 is wanted")
        system, sys_platform, os_name = _SYSTEMS[match["system"]]
        environment |= {
            "platform_system": system,
            "sys_platform": sys_platform,
            "os_name": os_name,
            "platform_machine": match["machine"],
        }
    return environment


def read_wheel(path: Path, environment: Environment | None = None) -> Wheel:
    """``environment``: where it is to be installed; None: here. Raises BundleProblem where it is no wheel."""
    here = environment if environment is not None else default_environment()
    asked = {**{key: str(value) for key, value in here.items()}, "extra": ""}
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
            needs=tuple(
                sorted({need for each in told.get_all("Requires-Dist") or [] if (need := _needed(each, asked))})
            ),
        )
    except (zipfile.BadZipFile, IndexError, KeyError, InvalidRequirement) as error:
        raise BundleProblem(f"{path} is no wheel: {error}") from error


def read_wheels(folder: Path, environment: Environment | None = None) -> list[Wheel]:
    """Every wheel in a folder, by name. Raises BundleProblem for anything else in it, and for two versions of one project."""
    others = sorted(path.name for path in folder.iterdir() if path.suffix != ".whl")
    if others:
        raise BundleProblem(f"{folder} holds more than wheels: {', '.join(others)}")
    wheels = sorted((read_wheel(path, environment) for path in folder.iterdir()), key=lambda wheel: wheel.name)
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


def _needed(text: str, asked: Mapping[str, str]) -> str | None:
    """The project that a requirement names, where its condition holds. Extras are not installed."""
    requirement = Requirement(str(text))
    if requirement.marker is not None and not requirement.marker.evaluate(dict(asked)):
        return None
    return normalised(requirement.name)
