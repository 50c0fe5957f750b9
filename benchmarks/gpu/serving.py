"""The native engine on the device, with random weights: streams, prompts, shared prefixes, drafts and masks."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dovetail.models.embedded import WEIGHTS
from dovetail.models.loader import LoadedModel
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.constrain.base import Constraint, Draft, Retreat
from dovetail.serve.engine.native.loop import NativeEngine, NativeSettings
from dovetail.serve.types import ConstraintSpec, GrammarSpec, Request, SamplingParams, TokensEvent


@dataclass(frozen=True)
class Load:
    """How much is asked for. ``prompt``: tokens of the long one; ``new``: tokens of each stream."""

    batches: tuple[int, ...]
    prompt: int
    new: int
    draft: int
    length: int
    blocks: int


FULL = Load((1, 8, 16, 32, 64, 128, 256), 8192, 128, 15, 16384, 16384)
TINY = Load((1, 2), 40, 12, 3, 128, 80)


class AnyToken:
    """Allows every token, and says so with a mask each time: what masks cost, whatever they are made from."""

    def allows(self, token: int) -> bool:
        return True

    def mask_into(self, words: np.ndarray[Any, Any]) -> bool:
        words.fill(-1)
        return True

    def advance(self, token: int) -> Constraint:
        return self

    def draft(self, limit: int) -> Draft:
        return Draft(())

    def admits(self, tokens: Sequence[int]) -> int:
        return len(tokens)

    def may_end(self) -> bool:
        return False

    def retreat(self) -> Retreat | None:
        return None

    def settled(self) -> int | None:
        return None


def any_token(spec: ConstraintSpec) -> Constraint:
    """For every specification."""
    return AnyToken()


@dataclass(frozen=True)
class Answers:
    """``tokens``: by request. ``tokens_per_s``: of all, once the last prompt was done."""

    seconds: float
    tokens: dict[str, list[int]]
    tokens_per_s: float


class Bench:
    """One engine, asked again and again; nothing is found in the cache of an earlier question unless it shares a salt."""

    def __init__(self, model: LoadedModel, load: Load, *, graphs: bool = True) -> None:
        settings = NativeSettings(
            load.length,
            load.blocks,
            16,
            max_num_seqs=max(load.batches),
            max_batched_tokens=max(512, load.prompt),
            max_draft=load.draft,
            target_step_s=10.0,
            graphs=graphs,
        )
        self._engine = NativeEngine(model, Tokenizer.load(WEIGHTS), settings, any_token)
        self._load, self._asked = load, 0
        self._vocabulary = min(model.config.vocab_size, 500)

    def prompt(self, tokens: int, seed: int = 0) -> tuple[int, ...]:
        """Some tokens of which none ends anything."""
        return tuple((31 * i * (seed + 1) + 7 * seed) % (self._vocabulary - 50) + 50 for i in range(tokens))

    def ask(
        self,
        prompts: list[tuple[int, ...]],
        new: int,
        *,
        salt: str | None = None,
        predictions: list[tuple[int, ...]] | None = None,
        masked: bool = False,
    ) -> Answers:
        """Have all of them answered with ``new`` tokens."""
        self._asked += 1
        params = SamplingParams(max_tokens=new, temperature=0.0, ignore_eos=True)
        for number, prompt in enumerate(prompts):
            request = Request(
                request_id=f"{self._asked}-{number}",
                prompt=prompt,
                sampling=params,
                cache_salt=salt or f"{self._asked}-{number}",
                prediction=predictions[number] if predictions else (),
                constraint=GrammarSpec(kind="regex", source=".*") if masked else None,
            )
            assert not self._engine.add(request), "the engine refuses the benchmark's own request"
        found: dict[str, list[int]] = {}
        start, decoding, before = time.perf_counter(), 0.0, 0
        while self._engine.busy:
            for event in self._engine.step():
                if isinstance(event, TokensEvent):
                    found.setdefault(event.request_id, []).extend(event.tokens)
            if not decoding and len(found) == len(prompts):  # every prompt is done
                decoding, before = time.perf_counter(), sum(map(len, found.values()))
        end = time.perf_counter()
        after = sum(map(len, found.values())) - before
        return Answers(end - start, found, after / (end - decoding))

    def rate(self, streams: int, **options: Any) -> float:
        """Tokens per second of so many streams."""
        prompts = [self.prompt(32 + i % 7, i) for i in range(streams)]
        return self.ask(prompts, self._load.new, **options).tokens_per_s

    def synchronisations(self) -> dict[str, float]:
        """How often a decoding step makes the host wait for the device, beside the one wait for its tokens, as torch tells."""
        prompts = [self.prompt(32 + i, i) for i in range(4)]
        self.ask(prompts, 8)
        before = self._engine.stats().steps
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                self.ask(prompts, 32)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        steps = self._engine.stats().steps - before
        waits = [str(each.filename) + f":{each.lineno}" for each in told if "synchroniz" in str(each.message)]
        for where in sorted(set(waits)):
            print(f"waits at {where}: {waits.count(where)} times in {steps} steps")
        return {"steps": steps, "begun_ahead": self._engine.begun_ahead, "each_step": len(waits) / steps}

    def drafted(self, streams: int) -> float:
        """The same with drafts that are all right: each stream is told what it will say."""
        prompts = [self.prompt(32 + i % 7, i) for i in range(streams)]
        said = self.ask(prompts, self._load.new).tokens
        predictions = [tuple(said[f"{self._asked}-{number}"]) for number in range(streams)]
        self.ask(prompts, self._load.new, predictions=predictions)  # from which the engine learns that drafts pay
        return self.ask(prompts, self._load.new, predictions=predictions).tokens_per_s


def figures(
    model: LoadedModel, load: Load, bandwidth: float, rate: float
) -> Iterator[tuple[str, Callable[[], dict[str, float]]]]:
    """All figures of one model, the most wanted first."""
    bench = Bench(model, load)
    for _ in range(2):
        bench.ask([bench.prompt(40)], 8)  # warm up, and learn what a row costs
    streams: dict[int, float] = {}

    def decoding(count: int) -> dict[str, float]:
        streams[count] = found = bench.rate(count)
        return {"tokens_per_s": found, "share_of_bandwidth": found / count * model.step_bytes / bandwidth}

    def prompt() -> dict[str, float]:
        taken = min(bench.ask([bench.prompt(load.prompt, seed)], 1).seconds for seed in (3, 5, 7))
        linear, attention = _operations(model, load.prompt)
        return {
            "tokens_per_s": load.prompt / taken,
            "seconds": taken,
            "share_of_matrix_rate": linear / taken / rate,
            "share_with_attention": (linear + attention) / taken / rate,
        }

    def shared_prefix() -> dict[str, float]:
        first, again = (bench.ask([bench.prompt(load.prompt, 11)], 1, salt="shared").seconds for _ in range(2))
        return {"first_s": first, "again_s": again}

    def drafted(count: int) -> dict[str, float]:
        return {"over_undrafted": bench.drafted(count) / (streams.get(count) or bench.rate(count))}

    def masked(count: int) -> dict[str, float]:
        return {"over_unmasked": bench.rate(count, masked=True) / (streams.get(count) or bench.rate(count))}

    def eager() -> dict[str, float]:
        return {"tokens_per_s": Bench(model, load, graphs=False).rate(1)}

    order = sorted(load.batches, key=lambda count: (count != 1, count != 64, count))
    yield str(order[0]), lambda: decoding(order[0])
    if model.decoder.device.type == "cuda":
        yield "synchronisations", bench.synchronisations
    for count in order[1:2]:
        yield str(count), lambda count=count: decoding(count)  # type: ignore[misc]
    yield "prompt", prompt
    yield "shared prefix", shared_prefix
    for count in order[2:]:
        yield str(count), lambda count=count: decoding(count)  # type: ignore[misc]
    some = max(count for count in load.batches if count <= 32)
    yield f"masked, {some}", lambda: masked(some)
    for count in (count for count in (1, 16) if count in load.batches):
        yield f"drafted, {count}", lambda count=count: drafted(count)  # type: ignore[misc]
    if model.decoder.device.type == "cuda":
        yield "without graphs", eager


def _operations(model: LoadedModel, tokens: int) -> tuple[float, float]:
    """Of a prompt, at least: multiplications and additions of the matrices, the head left out, and of attention."""
    config, weights = model.config, model.decoder.weights
    rows, columns = weights.head.shape
    active = model.step_bytes / torch.empty(0, dtype=model.decoder.dtype).element_size() - rows * columns
    return 2.0 * active * tokens, 2.0 * tokens * tokens * config.query_size * config.num_layers
