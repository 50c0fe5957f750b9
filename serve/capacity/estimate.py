"""A small analytical model of serving: a step takes what its slowest resource takes (the roofline of Williams et al., 2009).

Knows weights, keys and values, bandwidth and matrix rate. Drafts, constraints and HTTP are not in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dovetail.serve.capacity.shapes import Machine, Model
from dovetail.serve.errors import UserError

_SHARE_OF_MEMORY = 0.9
_MOST_MACHINES_OF_ONE = 16
_LARGEST_BATCH = 1024


@dataclass(frozen=True, kw_only=True)
class Load:
    """What users do. ``cached``: the share of a prompt that is found in the prefix cache; ``speed``: tokens/s that one stream
    should have; ``peak``: how much more than the mean is asked for in the busiest minutes."""

    users: int
    requests_per_hour: float = 12.0
    prompt: int = 6000
    output: int = 400
    cached: float = 0.8
    speed: float = 30.0
    peak: float = 2.0

    @property
    def requests_per_second(self) -> float:
        """At the busiest time."""
        return self.users * self.requests_per_hour * self.peak / 3600


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a load needs. Times in seconds, rates per second, of one server unless ``total`` is in the name.

    ``conversations``: how many users' last prompts have room in the accelerators' memory, running ones included, where they share
    nothing; ``host_memory_gb``: what those of all other users need, if they are to be found again too.
    """

    machine: str
    machines_per_server: int
    servers: int
    weights_gb: float
    kv_gb_per_sequence: float
    batch: int
    limited_by: str
    tokens_per_second: float
    stream_tokens_per_second: float
    first_token_s: float
    requests_per_second: float
    conversations: int
    host_memory_gb: float
    total_machines: int
    total_requests_per_second: float


def decode_step_s(model: Model, machine: Machine, batch: int, context: float) -> float:
    """Seconds of one decoding step of ``batch`` sequences with ``context`` tokens each."""
    # Of a model with experts, a batch reads those that at least one of its tokens chooses.
    touched = model.parameters * (1 - (1 - model.active / model.parameters) ** batch)
    read = (touched * model.weight_bytes + batch * context * model.kv_per_token) / (machine.bandwidth * machine.reads)
    compute = 2.0 * model.active * batch / (machine.rate * machine.decodes)
    return machine.step_s + (max(read, compute) if machine.overlaps else read + compute)


def prefill_s(model: Model, machine: Machine, tokens: float) -> float:
    """Seconds that a prompt's new tokens take."""
    read = model.bytes / (machine.bandwidth * machine.reads)
    return machine.step_s + max(read, 2.0 * model.active * tokens / (machine.rate * machine.computes))


def plan(model: Model, machine: Machine, load: Load) -> Plan:
    """How many machines serve the load.

    Raises:
        UserError: no number of machines serves it: the model is too large, or one stream alone is slower than asked for.
    """
    count = _machines_of_one(model, machine, load)
    while True:
        server = machine.several(count)
        per_sequence = (load.prompt + load.output) * model.kv_per_token
        room = int((server.memory * _SHARE_OF_MEMORY - model.bytes) // per_sequence)
        context = load.prompt + load.output / 2
        fits = _largest(model, server, load, context, min(room, _LARGEST_BATCH))
        if fits or count >= _MOST_MACHINES_OF_ONE:
            break
        count *= 2
    if not fits:
        alone = 1 / decode_step_s(model, server, 1, context)
        raise UserError(
            f"{server.name} gives one stream of {model.name} {alone:.0f} tokens/s, and {load.speed:.0f} are asked for: "
            "take a smaller or more quantised model, or a lower speed.",
            param="tokens_per_second",
        )
    step, busy = _step(model, server, load, context, fits)
    requests = fits / (step * load.output)
    servers = max(1, math.ceil(load.requests_per_second / requests))
    fresh = load.prompt * (1 - load.cached)
    others = max(0, math.ceil(load.users / servers) - room) if load.cached else 0
    limits = {"memory": room, "speed": fits, "batch": _LARGEST_BATCH}
    return Plan(
        machine=machine.name,
        machines_per_server=count,
        servers=servers,
        weights_gb=model.bytes / 1e9,
        kv_gb_per_sequence=per_sequence / 1e9,
        batch=fits,
        limited_by="memory" if fits == room else "batch" if fits == limits["batch"] else "speed of one stream",
        tokens_per_second=fits / step,
        stream_tokens_per_second=1 / step,
        first_token_s=prefill_s(model, server, fresh) / max(0.05, 1 - busy),
        requests_per_second=requests,
        conversations=room,
        host_memory_gb=others * per_sequence / 1e9,
        total_machines=servers * count,
        total_requests_per_second=servers * requests,
    )


def _machines_of_one(model: Model, machine: Machine, load: Load) -> int:
    """The fewest, in powers of two, that hold the weights and one sequence."""
    needed = model.bytes + (load.prompt + load.output) * model.kv_per_token
    count = 1
    while machine.memory * count * _SHARE_OF_MEMORY < needed:
        count *= 2
        if count > _MOST_MACHINES_OF_ONE:
            raise UserError(
                f"{model.name} needs {needed / 1e9:.0f} GB, and {_MOST_MACHINES_OF_ONE} x {machine.name} have "
                f"{machine.memory * _MOST_MACHINES_OF_ONE * _SHARE_OF_MEMORY / 1e9:.0f}: take a larger machine, or fewer bits.",
                param="gpu",
            )
    return count


def _step(model: Model, server: Machine, load: Load, context: float, batch: int) -> tuple[float, float]:
    """Seconds between two tokens of a stream with prompts of others coming in between, and the share that these take."""
    step = decode_step_s(model, server, batch, context)
    # In the time of one answer each of the batch's places takes one new prompt.
    prompts = batch * prefill_s(model, server, load.prompt * (1 - load.cached)) / load.output
    return step + prompts, prompts / (step + prompts)


def _largest(model: Model, server: Machine, load: Load, context: float, most: int) -> int:
    """The largest batch in which each stream has its speed; 0: none has."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if 1 / _step(model, server, load, context, middle)[0] >= load.speed:
            low = middle
        else:
            high = middle - 1
    return low
