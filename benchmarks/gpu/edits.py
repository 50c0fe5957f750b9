"""True edits on the device: what the constraint costs in a batch, and what drafts gain, whatever the weights would say.

A model that writes exactly the true edit is played by the constraint: it asks the real one for its mask and its verdict, and then
leaves the true token alone. Forward passes, masks, uploads, draws and drafts are those of a server.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))

from code_model import COUNTING, write_code_model
from true_edits import CONTEXT_LINES, made_edits, output_text, specification

from dovetail.models.embedded import WEIGHTS
from dovetail.models.loader import LoadedModel
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.constrain.base import Constraint, Draft, Int32Array, Retreat
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.compile import compile_edit
from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.edit.gate_worker import edit_gates
from dovetail.serve.engine.native.loop import NativeEngine, NativeSettings
from dovetail.serve.types import ConstraintSpec, EditSpec, ErrorEvent, Request, SamplingParams, TokensEvent


@dataclass(frozen=True)
class EditLoad:
    """``edits`` of at most ``tokens`` tokens (None: any); ``vocabulary``: to train, None: the embedded model's."""

    edits: int
    tokens: int | None
    vocabulary: int | None
    batches: tuple[int, ...]
    constrained: int
    draft: int = 32
    blocks: int = 16384
    length: int = 32768


FULL = EditLoad(64, 1200, 32_000, (1, 16), 32)
TINY = EditLoad(2, 250, None, (1, 2), 2, draft=8, blocks=1600, length=12_000)


@dataclass(frozen=True)
class Task:
    """One edit: the prompt, what is to be written, and what holds it."""

    prompt: tuple[int, ...]
    truth: tuple[int, ...]
    spec: EditSpec


class Told:
    """A constraint that leaves the true token alone. Raises ValueError where the real one refuses it."""

    def __init__(self, inner: Constraint, truth: Sequence[int], at: int = 0, lost: bool = False) -> None:
        self._inner, self._truth, self._at, self._lost = inner, truth, at, lost

    def allows(self, token: int) -> bool:
        return self._inner.allows(token)

    def mask_into(self, words: Int32Array) -> bool:
        if not self._inner.mask_into(words):
            words.fill(-1)
        if self._lost:
            return True
        left = 0
        if self._at < len(self._truth):
            token = self._truth[self._at]
            left = int(words[token // 32]) & int(np.uint32(1 << (token % 32)).view(np.int32))
            if not left:
                raise ValueError(f"token {self._at} of a true edit is refused")
        words.fill(0)
        if left:
            words[token // 32] = left
        return True

    def advance(self, token: int) -> Constraint:
        lost = self._lost or [token] != list(self._truth[self._at : self._at + 1])
        return Told(self._inner.advance(token), self._truth, self._at + 1, lost)

    def draft(self, limit: int) -> Draft:
        return self._inner.draft(limit)

    def admits(self, tokens: Sequence[int]) -> int:
        return self._inner.admits(tokens)

    def may_end(self) -> bool:
        return self._inner.may_end() if self._lost else self._at >= len(self._truth)

    def retreat(self) -> Retreat | None:
        return self._inner.retreat()

    def settled(self) -> int | None:
        return self._inner.settled()


def tokenizer(load: EditLoad) -> Tokenizer:
    """Of a real size where times are taken."""
    if load.vocabulary is None:
        return Tokenizer.load(WEIGHTS)
    with tempfile.TemporaryDirectory() as folder:
        return Tokenizer.load(write_code_model(Path(folder), COUNTING, load.vocabulary))


def tasks(load: EditLoad, tokens: Tokenizer) -> list[Task]:
    """Edits of standard library modules, as search/replace blocks."""
    found: list[Task] = []
    for edit in made_edits(8 * load.edits):
        spec = specification(edit, "blocks", "each")
        truth = tokens.encode(output_text(edit, spec, CONTEXT_LINES))
        messages = FORMATS[spec.format].messages(spec.files, edit.message, spec.markers, ())
        prompt = tokens.encode("\n\n".join(message["content"] for message in messages) + "\n\n")
        if (load.tokens is None or len(truth) <= load.tokens) and len(prompt) + len(truth) < load.length - 1:
            found.append(Task(tuple(prompt), tuple(truth), spec))
    return found[: load.edits]


class Rounds:
    """One engine; each round has a number of edits written at once."""

    def __init__(self, model: LoadedModel, tokens: Tokenizer, load: EditLoad, draft: int) -> None:
        vocabulary = Vocabulary([tokens.token_bytes(token) for token in range(tokens.size)], tokens.encode)
        gates = edit_gates()
        self._truths: dict[int, tuple[int, ...]] = {}

        def told(spec: ConstraintSpec) -> Constraint:
            assert isinstance(spec, EditSpec)
            return Told(compile_edit(spec, vocabulary, gates), self._truths[id(spec)])

        settings = NativeSettings(
            load.length,
            load.blocks,
            16,
            max_num_seqs=max(*load.batches, load.constrained),
            max_batched_tokens=8192,
            max_draft=draft,
            target_step_s=10.0,
        )
        self._engine = NativeEngine(model, tokens, settings, told)
        self._asked = 0

    def tokens_per_s(self, work: Sequence[Task], *, constrained: bool = True) -> float:
        """Of all, once the last prompt is done. Unconstrained: as many tokens of whatever the weights say."""
        self._asked += 1
        for number, task in enumerate(work):
            self._truths[id(task.spec)] = task.truth
            room = len(task.truth) + 1 if constrained else len(task.truth)
            request = Request(
                request_id=f"{self._asked}-{number}",
                prompt=task.prompt,
                sampling=SamplingParams(max_tokens=room, temperature=0.0, ignore_eos=not constrained),
                cache_salt=f"{self._asked}-{number}",
                constraint=task.spec if constrained else None,
            )
            refused = self._engine.add(request)
            assert not refused, refused
        said: dict[str, int] = {}
        decoding, before = 0.0, 0
        while self._engine.busy:
            for event in self._engine.step():
                if isinstance(event, ErrorEvent):
                    raise RuntimeError(event.message)
                if isinstance(event, TokensEvent):
                    said[event.request_id] = said.get(event.request_id, 0) + len(event.tokens)
            if not decoding and len(said) == len(work):
                decoding, before = time.perf_counter(), sum(said.values())
        seconds = time.perf_counter() - decoding
        wanted = sum(len(task.truth) for task in work)
        assert wanted <= sum(said.values()) <= wanted + len(work), "not the true edits were written"
        return (sum(said.values()) - before) / seconds


def figures(
    model: LoadedModel, tokens: Tokenizer, load: EditLoad
) -> Iterator[tuple[str, Callable[[], dict[str, float]]]]:
    """Ratios, each of the same edits in the same run. ``over_plain``: neither has drafts."""
    work = tasks(load, tokens)
    drafted, plain = Rounds(model, tokens, load, load.draft), Rounds(model, tokens, load, 0)
    drafted.tokens_per_s(work[:1])  # warm up, and learn what a row costs
    plain.tokens_per_s(work[:1])
    some = work[: load.constrained]

    def constrained() -> dict[str, float]:
        free, held = (plain.tokens_per_s(some, constrained=each) for each in (False, True))
        return {"streams": len(some), "tokens_per_s": held, "over_plain": held / free}

    def gain(count: int) -> dict[str, float]:
        drafted.tokens_per_s(work[:count])
        fast, slow = drafted.tokens_per_s(work[:count]), plain.tokens_per_s(work[:count])
        return {"tokens_per_s": fast, "over_undrafted": fast / slow}

    def asked() -> dict[str, float]:
        every = sum(len(task.truth) for task in work) / len(work)
        return {"edits": len(work), "vocabulary": tokens.size, "tokens": every}

    yield "asked", asked
    for count in load.batches[:1]:
        yield f"drafted, {count}", lambda count=count: gain(count)  # type: ignore[misc]
    yield "constrained", constrained
    for count in load.batches[1:]:
        yield f"drafted, {count}", lambda count=count: gain(count)  # type: ignore[misc]
