"""The network in training: the Qwen3 shape in plain torch, its parameters named as transformers names them.

Takes explicit positions and an explicit attention rule, because rows are packed. Export is
therefore a plain copy of the state. Serving is not done from here.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from dovetail.models.embedded.samples import IGNORE
from dovetail.models.embedded.shape import Shape


class Attention(nn.Module):
    """Grouped-query attention with normalised queries and keys."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.q_proj = nn.Linear(shape.width, shape.heads * shape.head, bias=False)
        self.k_proj = nn.Linear(shape.width, shape.kv_heads * shape.head, bias=False)
        self.v_proj = nn.Linear(shape.width, shape.kv_heads * shape.head, bias=False)
        self.o_proj = nn.Linear(shape.heads * shape.head, shape.width, bias=False)
        self.q_norm = nn.RMSNorm(shape.head, eps=shape.epsilon)
        self.k_norm = nn.RMSNorm(shape.head, eps=shape.epsilon)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        rows, length, _ = x.shape
        heads = (rows, length, -1, self.shape.head)
        v = self.v_proj(x).view(heads).transpose(1, 2)
        q = _rotate(self.q_norm(self.q_proj(x).view(heads)).transpose(1, 2), cos, sin).to(v.dtype)
        k = _rotate(self.k_norm(self.k_proj(x).view(heads)).transpose(1, 2), cos, sin).to(v.dtype)
        group = self.shape.heads // self.shape.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask.to(v.dtype))
        out: torch.Tensor = self.o_proj(y.transpose(1, 2).reshape(rows, length, -1))
        return out


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Feedforward(nn.Module):
    """SwiGLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.hidden, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down_proj = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    """One pre-norm transformer layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.self_attn = Attention(shape)
        self.mlp = Feedforward(shape)
        self.input_layernorm = nn.RMSNorm(shape.width, eps=shape.epsilon)
        self.post_attention_layernorm = nn.RMSNorm(shape.width, eps=shape.epsilon)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        out: torch.Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Body(nn.Module):
    """Everything but the head; the head is the embedding."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=shape.epsilon)


class Network(nn.Module):
    """The whole model."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Body(shape)
        frequencies = shape.rope_theta ** (-torch.arange(0, shape.head, 2).float() / shape.head)
        self.register_buffer("frequencies", frequencies, persistent=False)
        for name, parameter in self.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.zeros_(parameter)  # every layer starts as the identity
            elif parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: torch.Tensor, positions: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
        """Logits (rows, length, vocabulary)."""
        frequencies = self.get_buffer("frequencies")
        angles = positions[:, None, :, None].float() * frequencies
        cos, sin = angles.cos(), angles.sin()
        mask = torch.zeros(allowed.shape, device=allowed.device).masked_fill_(~allowed, -1e4)
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, cos, sin, mask)
        return functional.linear(self.model.norm(x), self.model.embed_tokens.weight)


def token_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy per position, 0 where there is no target."""
    flat = functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), reduction="none", ignore_index=IGNORE
    )
    return flat.view(targets.shape)


def export(network: Network, directory: Path, end: int, chat_end: int) -> None:
    """Write config.json, generation_config.json and model.safetensors (bf16) for Qwen3ForCausalLM."""
    config = network.shape.config(end)
    generation = {"eos_token_id": [end, chat_end], "pad_token_id": end, "do_sample": False}
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (directory / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    state = {name: value.detach().cpu().to(torch.bfloat16).contiguous() for name, value in network.state_dict().items()}
    save_file(state, directory / "model.safetensors", metadata={"format": "pt"})
