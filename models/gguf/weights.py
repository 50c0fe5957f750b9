"""The tensors of a GGUF file under the names of the Hugging Face checkpoint that it was made of. Knows no arithmetic of models."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from dovetail.models.config import ModelConfig
from dovetail.models.errors import ModelDirectoryError
from dovetail.models.gguf.blocks import GROUPED, dequantised
from dovetail.models.gguf.file import GgufFile, StoredTensor
from dovetail.models.quantised.grouped import Grouped

_HARMLESS = frozenset({"rope_freqs.weight"})
"""Read with the configuration."""
_ENDS = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def stored_name(name: str) -> str:
    """What the file calls the tensor that a Hugging Face checkpoint calls ``name``; empty: nothing."""
    if name in _ENDS:
        return _ENDS[name]
    parts = name.split(".")
    if parts[:2] != ["model", "layers"] or len(parts) < 5:
        return ""
    inner = _LAYER.get(".".join(parts[3:-1]))
    return f"blk.{parts[2]}.{inner}.{parts[-1]}" if inner is not None else ""


class GgufWeights:
    """Implements TensorSource and QuantisedSource.

    Rows of queries and keys that the file holds in the order in which llama.cpp turns them are put back.
    """

    def __init__(self, file: GgufFile, config: ModelConfig) -> None:
        self._file = file
        self._turned = {"q_proj": config.num_heads, "k_proj": config.num_kv_heads}
        if file.metadata.get("general.architecture") != "llama":
            self._turned = {}

    def check(self, expected: Mapping[str, tuple[int, ...]], harmless: Callable[[str], bool]) -> None:
        """See from the header alone that the file holds exactly what is expected. Raises ModelDirectoryError."""
        path, there = self._file.path, self._file.tensors
        missing = [name for name in expected if stored_name(name) not in there]
        if missing:
            raise ModelDirectoryError(
                f"{path}: {len(missing)} tensors missing, such as {stored_name(missing[0]) or missing[0]}"
            )
        for name, shape in expected.items():
            found = self._stored(name)
            if found.shape != shape:
                raise ModelDirectoryError(f"{path}: {found.name} has shape {list(found.shape)}, expected {list(shape)}")
        wanted = {stored_name(name) for name in expected} | _HARMLESS
        extra = [name for name in there if name not in wanted and not harmless(name)]
        if extra:
            raise ModelDirectoryError(
                f"{path}: {len(extra)} tensors that this architecture does not have, such as {extra[0]}; serving without "
                "them would give wrong answers"
            )

    def tensor(self, name: str) -> Tensor:
        """One tensor, dequantised."""
        stored = self._stored(name)
        found = dequantised(stored.format.name, self._raw(stored)).view(stored.shape)
        order = self._order(name, stored.shape[0])
        return found if order is None else found[order]

    def part(self, name: str, index: int) -> Tensor:
        """``tensor(name)[index]``."""
        return self.tensor(name)[index]

    def bits(self, name: str) -> int:
        """Of a weight, without what is shared."""
        return self._stored(name).format.bits

    def grouped(self, name: str) -> Grouped | None:
        """The tensor in 4 bits as it is stored; None: it is stored otherwise."""
        stored = self._stored(name)
        if stored.format.name not in GROUPED:
            return None
        found = GROUPED[stored.format.name](self._raw(stored))
        order = self._order(name, stored.shape[0])
        return found if order is None else found.rows(order)

    def _stored(self, name: str) -> StoredTensor:
        return self._file.tensors[stored_name(name)]

    def _raw(self, stored: StoredTensor) -> Tensor:
        return torch.from_numpy(self._file.blocks(stored.name))

    def _order(self, name: str, rows: int) -> Tensor | None:
        """The file's rows in the checkpoint's order: there the halves of a head that are turned together lie apart."""
        heads = self._turned.get(name.split(".")[-2])
        if heads is None:
            return None
        return torch.arange(rows).view(heads, rows // heads // 2, 2).transpose(1, 2).flatten()
