"""The sizes of a network, and the config.json that says them. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    """Sizes of the network."""

    vocabulary: int = 4096
    width: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head: int = 64
    hidden: int = 704
    rope_theta: float = 100_000.0
    epsilon: float = 1e-6
    positions: int = 65536

    @property
    def parameters(self) -> int:
        """How many numbers the network has; the head is the embedding."""
        attention = 2 * self.width * self.head * (self.heads + self.kv_heads) + 2 * self.head
        return (self.vocabulary + 1) * self.width + self.layers * (
            attention + 3 * self.width * self.hidden + 2 * self.width
        )

    def config(self, end: int) -> dict[str, Any]:
        """What transformers needs to load it as Qwen3ForCausalLM."""
        return {
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "intermediate_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head,
            "hidden_act": "silu",
            "max_position_embeddings": self.positions,
            "rms_norm_eps": self.epsilon,
            "rope_theta": self.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "attention_bias": False,
            "attention_dropout": 0.0,
            "tie_word_embeddings": True,
            "use_sliding_window": False,
            "initializer_range": 0.02,
            "eos_token_id": end,
            "pad_token_id": end,
            "bos_token_id": None,
            "dtype": "bfloat16",
        }
