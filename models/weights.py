"""The safetensors files of a model directory, read lazily. Knows files, names and shapes; not what tensors mean.

Pickled weights are refused: loading them runs whatever code they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from safetensors import SafetensorError, safe_open
from torch import Tensor

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.fields import read_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
FLOATS = ("F64", "F32", "F16", "BF16")


class WeightFiles:
    """Every tensor of a model directory by name. A context manager: the files stay mapped until it ends.

    Args:
        directory: holds ``model.safetensors``, or ``model.safetensors.index.json`` and its shards.

    Raises:
        ModelDirectoryError: no safetensors weights, a missing or damaged file, or an index that does not fit them.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: list[Any] = []
        self._origin: dict[str, tuple[Any, Path]] = {}
        self._prefix = ""
        if not directory.is_dir():
            raise ModelDirectoryError(f"{directory}: not a directory; give the folder that holds config.json")
        if (directory / SINGLE).is_file():
            self._open(directory / SINGLE)
        elif (directory / INDEX).is_file():
            self._open_shards(directory)
        else:
            raise _no_weights(directory)

    def __enter__(self) -> WeightFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._origin.clear()
        for file in self._files:
            file.__exit__(kind, error, traceback)
        self._files.clear()

    def below(self, prefix: str) -> None:
        """Call every tensor by ``prefix`` and its name from now on."""
        self._prefix = prefix
        self._origin = {prefix + name: origin for name, origin in self._origin.items()}

    def names(self) -> Iterable[str]:
        """Names of every tensor in the files."""
        return self._origin.keys()

    def header(self, name: str) -> tuple[tuple[int, ...], str] | None:
        """Shape and type (such as BF16) of a tensor; None: there is none."""
        if name not in self._origin:
            return None
        header = self._origin[name][0].get_slice(name)
        return tuple(header.get_shape()), str(header.get_dtype())

    def check(self, expected: Mapping[str, tuple[int, ...]], harmless: Callable[[str], bool]) -> None:
        """See from the headers alone that the files hold exactly what is expected.

        Args:
            expected: the shape of every tensor that will be read.
            harmless: whether a tensor nobody asked for may be left unread.

        Raises:
            ModelDirectoryError: a tensor is missing, has another shape, is no float, or nobody knows what it is for.
        """
        missing = [name for name in expected if name not in self._origin]
        if missing:
            raise ModelDirectoryError(
                f"{self._where()}: {_count(missing, 'tensor')} missing: {_some(missing)}; "
                "is the download complete, and does config.json belong to these weights?"
            )
        for name, shape in expected.items():
            file, path = self._origin[name]
            header = file.get_slice(name.removeprefix(self._prefix))
            found = tuple(header.get_shape())
            if found != shape:
                raise ModelDirectoryError(
                    f"{path}: {name} has shape {list(found)}, expected {list(shape)}; config.json does not belong to these weights"
                )
            if header.get_dtype() not in FLOATS:
                raise ModelDirectoryError(
                    f"{path}: {name} is {header.get_dtype()}; supported: {', '.join(FLOATS)} (quantised weights are not)"
                )
        extra = [name for name in self._origin if name not in expected and not harmless(name)]
        if extra:
            raise ModelDirectoryError(
                f"{self._where()}: {_count(extra, 'tensor')} that this architecture does not have: {_some(extra)}; "
                "serving without them would give wrong answers"
            )

    def tensor(self, name: str) -> Tensor:
        """One tensor, in the type it is stored in."""
        file, path = self._origin[name]
        try:
            return cast(Tensor, file.get_tensor(name.removeprefix(self._prefix)))
        except (SafetensorError, OSError) as error:
            raise ModelDirectoryError(f"{path}: {name} cannot be read ({error}); copy the file again") from error

    def part(self, name: str, index: int) -> Tensor:
        """``tensor(name)[index]``, without reading the rest."""
        file, path = self._origin[name]
        try:
            return cast(Tensor, file.get_slice(name)[index])
        except (SafetensorError, OSError) as error:
            raise ModelDirectoryError(f"{path}: {name} cannot be read ({error}); copy the file again") from error

    def _open(self, path: Path) -> set[str]:
        try:
            file: Any = safe_open(str(path), framework="pt", device="cpu")
        except (SafetensorError, OSError) as error:
            raise ModelDirectoryError(f"{path}: truncated or damaged ({error}); copy the file again") from error
        names = set(file.keys())
        for name in names & self._origin.keys():
            raise ModelDirectoryError(
                f"{path}: {name} is also in {self._origin[name][1].name}; one of the files is stale"
            )
        self._files.append(file)
        self._origin.update(dict.fromkeys(names, (file, path)))
        return names

    def _open_shards(self, directory: Path) -> None:
        index = directory / INDEX
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
            raise ModelDirectoryError(f"{index}: weight_map is missing or no map of tensor to file name")
        shards = sorted(set(weight_map.values()))
        for shard in shards:
            if Path(shard).name != shard:
                raise ModelDirectoryError(f"{index}: {shard!r} is not a plain file name; shards lie beside the index")
        absent = [shard for shard in shards if not (directory / shard).is_file()]
        if absent:
            raise ModelDirectoryError(
                f"{index}: {_count(absent, 'shard')} of {len(shards)} missing: {_some(absent)}; copy them into the directory"
            )
        names = {shard: self._open(directory / shard) for shard in shards}
        for name, shard in weight_map.items():
            if name not in names[shard]:
                raise ModelDirectoryError(
                    f"{index}: {name} should be in {shard} but is not; index and shards do not match"
                )

    def _where(self) -> Path:
        single = self._directory / SINGLE
        return single if single.is_file() else self._directory


def _no_weights(directory: Path) -> ModelDirectoryError:
    pickles = sorted(path.name for pattern in PICKLES for path in directory.glob(pattern))
    if pickles:
        return ModelDirectoryError(
            f"{directory}: only pickled weights ({_some(pickles)}), which can run code when loaded; convert them to safetensors "
            "(in transformers: AutoModelForCausalLM.from_pretrained(...).save_pretrained(..., safe_serialization=True))"
        )
    return ModelDirectoryError(f"{directory}: no weights; expected {SINGLE}, or {INDEX} and its shards")


def _count(items: list[str], noun: str) -> str:
    return f"{len(items)} {noun}{'s' if len(items) != 1 else ''}"


def _some(items: list[str], limit: int = 8) -> str:
    return ", ".join(items[:limit]) + (f" and {len(items) - limit} more" if len(items) > limit else "")
