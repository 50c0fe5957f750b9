"""Which models are on this machine: looks for config.json beside weights, and for GGUF files. Reads no weights, downloads nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FoundModel:
    """A directory that looks like a model, or a GGUF file."""

    name: str
    architecture: str
    weight_bytes: int
    path: Path


def find_models(embedded: Path, folders: Sequence[Path], environ: Mapping[str, str]) -> list[FoundModel]:
    """The embedded model, then those in or directly below ``folders``, then those in the Hugging Face cache, then GGUF files."""
    candidates = [embedded]
    for folder in folders:
        candidates += [folder, *_children(folder)]
    found: dict[Path, FoundModel] = {}
    for repository in _children(_hub(environ)):
        candidates += _children(repository / "snapshots")
    for candidate in candidates:
        model = _model_at(candidate)
        if model is not None:
            found.setdefault(candidate.resolve(), model)
    for file in (file for folder in folders for file in sorted(folder.glob("*.gguf"))):
        found[file.resolve()] = FoundModel(file.stem, "GGUF", file.stat().st_size, file)
    return list(found.values())


def _model_at(folder: Path) -> FoundModel | None:
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if not weights:
        return None
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    architectures = config.get("architectures") if isinstance(config, dict) else None
    name = folder.resolve().name
    if folder.parent.name == "snapshots":
        name = folder.parent.parent.name.removeprefix("models--").replace("--", "/")
    return FoundModel(name, str((architectures or ["?"])[0]), weights, folder)


def _children(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(child for child in folder.iterdir() if child.is_dir())


def _hub(environ: Mapping[str, str]) -> Path:
    if "HF_HUB_CACHE" in environ:
        return Path(environ["HF_HUB_CACHE"])
    home = environ.get("HF_HOME")
    return (Path(home) if home else Path(environ.get("HOME", "/")) / ".cache" / "huggingface") / "hub"
