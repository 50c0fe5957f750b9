"""Muon for the matrices, AdamW for embeddings and norms. Knows nothing of the schedule."""

from collections import defaultdict

import torch
from torch import nn

Parameters = list[nn.Parameter]


def orthogonal(gradients: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Newton-Schulz towards the nearest semi-orthogonal matrices; (count, rows, columns), in bf16."""
    x = gradients.bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    result: torch.Tensor = x.mT if tall else x
    return result.float()


class Muon:
    """Momentum, then orthogonalised updates; matrices of one shape are done together."""

    def __init__(self, parameters: Parameters, rate: float, momentum: float = 0.95, decay: float = 0.01) -> None:
        self.rate, self.momentum, self.decay = rate, momentum, decay
        groups: dict[torch.Size, Parameters] = defaultdict(list)
        for parameter in parameters:
            groups[parameter.shape].append(parameter)
        self.groups = list(groups.values())
        self.buffers = [torch.zeros(len(g), *g[0].shape, device=g[0].device) for g in self.groups]

    @torch.no_grad()
    def step(self, scale: float) -> None:
        for group, buffer in zip(self.groups, self.buffers, strict=True):
            gradient = torch.stack([p.grad for p in group if p.grad is not None])
            buffer.mul_(self.momentum).add_(gradient)
            update = orthogonal(gradient + self.momentum * buffer)
            rows, columns = group[0].shape
            size = self.rate * scale * max(1.0, rows / columns) ** 0.5
            for parameter, change in zip(group, update, strict=True):
                parameter.mul_(1 - self.decay * self.rate * scale).sub_(change, alpha=size)


class Optimizer:
    """Both optimizers, stepped together."""

    def __init__(self, network: nn.Module, matrix_rate: float = 0.02, other_rate: float = 3e-3) -> None:
        named = list(network.named_parameters())
        matrices = [p for n, p in named if p.ndim == 2 and "embed" not in n]
        self.others = [p for n, p in named if p.ndim != 2 or "embed" in n]
        self.muon = Muon(matrices, matrix_rate)
        self.other_rate = other_rate
        self.adam = torch.optim.AdamW(self.others, lr=other_rate, betas=(0.9, 0.95), weight_decay=0.0)

    def step(self, scale: float) -> None:
        """One step at `scale` times the base rates."""
        torch.nn.utils.clip_grad_norm_(self.others, 1.0)
        for group in self.adam.param_groups:
            group["lr"] = self.other_rate * scale
        self.adam.step()
        self.muon.step(scale)

    def state_dict(self) -> dict[str, object]:
        return {"adam": self.adam.state_dict(), "muon": self.muon.buffers}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.adam.load_state_dict(state["adam"])  # type: ignore[arg-type]
        self.muon.buffers = list(state["muon"])  # type: ignore[call-overload]
