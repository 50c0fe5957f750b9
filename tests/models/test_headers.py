"""What the headers of weight files say, and files that say nothing."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from dovetail.models.headers import Stored, stored_weights


def test_all_shards_are_added_up(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3, 4), "b": torch.zeros(5, dtype=torch.bfloat16)}, tmp_path / "model-1.safetensors")
    save_file({"c": torch.zeros(2, 2, dtype=torch.int8)}, tmp_path / "model-2.safetensors", metadata={"format": "pt"})
    assert stored_weights(tmp_path) == Stored(3 * 4 + 5 + 4, 3 * 4 * 4 + 5 * 2 + 4)


def test_damaged_files_count_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 20)
    (tmp_path / "short.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    (tmp_path / "odd.safetensors").write_bytes(b"\x0e\0\0\0\0\0\0\0" + b'{"a": {"b":1}}')
    assert stored_weights(tmp_path) == Stored(0, 0)
