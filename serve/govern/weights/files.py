"""The files of a model directory: their digests, and whether they are what a manifest lists. In a directory, weights are safetensors only."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from dovetail.serve.errors import ModelError

MANIFESTS = ("dovetail-manifest.json", "manifest.json")
"""What ``dovetail verify --write`` writes, and what the embedded model comes with."""

PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz", ".h5", ".msgpack"})
_GGUF = b"GGUF"
NOT_NAMED = "not named"
_LARGEST_HEADER = 100_000_000
_TYPE_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2}
_TYPE_BYTES |= {"I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8}

Digests = Mapping[str, str]
"""SHA-256 by the file's path in the directory, with slashes."""


class _Listed(msgspec.Struct, frozen=True):
    sha256: str
    bytes: int


class WeightsProblem(ModelError):
    """A model directory that is not what it should be; the message says what differs."""


def digests_of(directory: Path) -> Digests:
    """The digest of every file, those of version control left out. Links are refused: what they lead to can change."""
    found: dict[str, str] = {}
    for parent, folders, names in os.walk(directory):
        folders[:] = sorted(each for each in folders if not each.startswith(".git"))
        for name in sorted((*names, *(each for each in folders if (Path(parent) / each).is_symlink()))):
            path = Path(parent) / name
            if name.startswith(".git"):
                continue
            if path.is_symlink() or not path.is_file():
                raise WeightsProblem(f"{path} is no plain file; copy what it leads to into the directory")
            with path.open("rb") as file:
                found[path.relative_to(directory).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    if not found:
        raise WeightsProblem(f"{directory} holds no files")
    return dict(sorted(found.items()))


def digest_of(files: Digests) -> str:
    """One digest for the whole directory; manifests and signatures, which speak of the others, are left out."""
    listed = {name: digest for name, digest in files.items() if name not in MANIFESTS and not name.endswith(".sig")}
    return hashlib.sha256(msgspec.json.encode(listed, order="sorted")).hexdigest()


def digest_of_file(path: Path) -> str:
    """The digest of a model that is one GGUF file. Raises WeightsProblem where it is none."""
    with path.open("rb") as file:
        if file.read(len(_GGUF)) != _GGUF:
            raise WeightsProblem(f"{path} is no GGUF file")
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def differences(files: Digests, expected: Digests) -> list[str]:
    """What is not as expected, in words."""
    return [
        *(f"{name} is missing" for name in expected if name not in files),
        *(f"{name} was added" for name in files if name not in expected),
        *(f"{name} was changed" for name in expected if name in files and files[name] != expected[name]),
    ]


def listed_in(directory: Path) -> tuple[str, Digests] | None:
    """The name of the directory's manifest, and what it lists. None: it has none."""
    for name in MANIFESTS:
        path = directory / name
        if path.is_file():
            try:
                files = json.loads(path.read_text(encoding="utf-8")).get("files")
                listed = msgspec.convert(files, dict[str, _Listed])
            except (ValueError, AttributeError) as error:
                raise WeightsProblem(f"{path} is no manifest: {error}") from error
            return name, {key: each.sha256 for key, each in listed.items()}
    return None


def require_as_listed(directory: Path, files: Digests) -> None:
    """Raise WeightsProblem unless the files are what the directory's manifest lists, and there is one."""
    listed = listed_in(directory)
    if listed is None:
        raise WeightsProblem(
            f"{directory} has no manifest ({MANIFESTS[0]}); make one with: dovetail verify --write DIR"
        )
    name, expected = listed
    checked = {key: value for key, value in files.items() if key not in MANIFESTS and not key.endswith(".sig")}
    differing = differences(checked, expected)
    if differing:
        raise WeightsProblem(f"{directory} is not what its {name} lists: {'; '.join(differing)}")


def write_manifest(directory: Path, files: Digests) -> Path:
    """List the files in the directory's manifest."""
    path = directory / MANIFESTS[0]
    listed = {
        name: {"sha256": digest, "bytes": (directory / name).stat().st_size}
        for name, digest in files.items()
        if name not in MANIFESTS and not name.endswith(".sig")
    }
    path.write_text(json.dumps({"files": listed}, indent=1) + "\n", encoding="utf-8")
    return path


def require_sane(directory: Path, files: Digests) -> int:
    """How many tensors the weights have. Raises WeightsProblem for pickles and for safetensors files whose headers lie."""
    pickles = [name for name in files if Path(name).suffix in PICKLES]
    if pickles:
        raise WeightsProblem(f"{directory}: {', '.join(pickles)} can run code when loaded; only safetensors are served")
    weights = [name for name in files if name.endswith(".safetensors")]
    if not weights:
        raise WeightsProblem(f"{directory} has no safetensors weights")
    return sum(_tensors(directory / name) for name in weights)


def licence_of(directory: Path) -> str:
    """The licence that the directory names, in a manifest, its README's front matter or a file."""
    for name in MANIFESTS:
        if (directory / name).is_file():
            told = json.loads((directory / name).read_text(encoding="utf-8")).get("licence")
            if isinstance(told, str):
                return told
    card = directory / "README.md"
    if card.is_file():
        for line in card.read_text(encoding="utf-8", errors="replace").splitlines()[:60]:
            if line.startswith("license:"):
                return line.removeprefix("license:").strip()
    found = sorted(path.name for path in directory.iterdir() if path.name.upper().startswith(("LICENSE", "LICENCE")))
    return f"see {found[0]}" if found else NOT_NAMED


def _tensors(path: Path) -> int:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_LARGEST_HEADER, size - 8):
            raise WeightsProblem(f"{path}: its header cannot have {length} bytes")
        header = file.read(length)
    try:
        tensors = json.loads(header)
        tensors.pop("__metadata__", None)
        spans = sorted((*tensor["data_offsets"], _bytes_of(tensor)) for tensor in tensors.values())
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise WeightsProblem(f"{path}: its header is damaged ({error})") from error
    end = 0
    for begin, stop, needed in spans:
        if begin != end or stop - begin != needed:
            raise WeightsProblem(
                f"{path}: its header does not fit its data: tensors overlap, leave gaps or lie about their size"
            )
        end = stop
    if end != size - 8 - length:
        raise WeightsProblem(f"{path}: {end} bytes of tensors are announced, and {size - 8 - length} are there")
    return len(spans)


def _bytes_of(tensor: Mapping[str, object]) -> int:
    shape = msgspec.convert(tensor["shape"], list[int])
    count = _TYPE_BYTES[str(tensor["dtype"])]
    for each in shape:
        count *= each
    return count
