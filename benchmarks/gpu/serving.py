"""The native engine on the device, with random weights: streams, prompts, shared prefixes, drafts and masks."""

from __future__ import annotations

import time
from collections.abc import Sequence
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

    def drafted(self, streams: int) -> float:
        """The same with drafts that are all right: each stream is told what it will say."""
        prompts = [self.prompt(32 + i % 7, i) for i in range(streams)]
        said = self.ask(prompts, self._load.new).tokens
        predictions = [tuple(said[f"{self._asked}-{number}"]) for number in range(streams)]
        self.ask(prompts, self._load.new, predictions=predictions)  # from which the engine learns that drafts pay
        return self.ask(prompts, self._load.new, predictions=predictions).tokens_per_s


def measure(model: LoadedModel, load: Load, bandwidth: float, rate: float) -> dict[str, Any]:
    """All figures of one model."""
    bench = Bench(model, load)
    bench.ask([bench.prompt(40)], 4)
    streams = {str(count): bench.rate(count) for count in load.batches}
    prompt = bench.ask([bench.prompt(load.prompt, 3)], 1).seconds
    bench.ask([bench.prompt(load.prompt, 5)], 1, salt="shared")
    again = bench.ask([bench.prompt(load.prompt, 5)], 1, salt="shared").seconds
    active = model.step_bytes / torch.empty(0, dtype=model.decoder.dtype).element_size()
    few = [count for count in (1, 16) if count in load.batches]
    some = max(count for count in load.batches if count <= 32)
    return {
        "parameters": model.parameters,
        "step_bytes": model.step_bytes,
        "tokens_per_s": streams,
        "share_of_bandwidth_of_one_stream": streams["1"] * model.step_bytes / bandwidth,
        "prompt_tokens_per_s": load.prompt / prompt,
        "share_of_matrix_rate_of_prompt": 2 * active * load.prompt / prompt / rate,
        "first_token_s": {"prompt": prompt, "the same again": again},
        "drafted_over_undrafted": {str(count): bench.drafted(count) / streams[str(count)] for count in few},
        "masked_over_unmasked": {str(some): bench.rate(some, masked=True) / bench.rate(some)},
    }
