"""What a model's makers recommend for sampling (generation_config.json). Knows the file; nothing of requests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.fields import read_optional_json

_NUMBERS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


@dataclass(frozen=True)
class GenerationDefaults:
    """Recommended sampling parameters; None where the file says nothing. ``do_sample: false`` means temperature 0."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None

    @classmethod
    def load(cls, path: Path) -> GenerationDefaults:
        """Read ``generation_config.json`` of a model directory; all None if there is none.

        Raises:
            ModelDirectoryError: a value is not a number.
        """
        config = read_optional_json(path / "generation_config.json")
        values: dict[str, Any] = {}
        for name in _NUMBERS:
            value = config.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ModelDirectoryError(f"{path / 'generation_config.json'}: {name} must be a number, not {value!r}")
            values[name] = value
        if config.get("do_sample") is False:
            values["temperature"] = 0.0
        if "top_k" in values:
            values["top_k"] = max(0, int(values["top_k"]))
        return cls(**values)

    def given(self) -> dict[str, float]:
        """Only what the file says."""
        return {name: value for name in _NUMBERS if (value := getattr(self, name)) is not None}
