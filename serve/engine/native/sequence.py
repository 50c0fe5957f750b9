"""One request while it runs: its tokens, how far they are computed, its blocks, its constraint and its text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from dovetail.models.lora import Adapter
from dovetail.models.pooling import Pooled
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.constrain.base import Constraint, Waitable
from dovetail.serve.engine.native.blocks import ALONE, BlockTable, Salt
from dovetail.serve.engine.native.draft import ConstraintDrafter, Drafter, PredictionDrafter, SuffixDrafter
from dovetail.serve.engine.native.fork import Fork, parents
from dovetail.serve.engine.native.pace import Acceptance, Trust
from dovetail.serve.engine.native.sampler import needs_history
from dovetail.serve.engine.native.usual import Usual
from dovetail.serve.engine.request.text import OutputText
from dovetail.serve.types import ConstraintReport, Finding, Request, Usage

_RELUCTANT = math.log(1e-3)


@dataclass
class Distortion:
    """What the constraint did to this output so far (see types.ConstraintReport).

    ``log_zs``: per output token, as it stands. ``judged``: the last choice of a place that was looked at.
    """

    log_zs: list[float] = field(default_factory=list)
    judged: tuple[int, int] | None = None
    distorted: bool = False
    min_log_z: float = 0.0
    sum_log_z: float = 0.0
    rollbacks: int = 0
    forced: int = 0
    resampled: int = 0

    def step(self, log_z: float) -> None:
        """Count one emitted token at which the constraint left the probability mass ``exp(log_z)``."""
        self.log_zs.append(log_z)
        self.min_log_z = min(self.min_log_z, log_z)
        self.sum_log_z += log_z

    def reluctant(self, chosen: tuple[int, int]) -> bool:
        """Whether the constraint left hardly any mass over the output tokens ``chosen``; said once for each choice."""
        if chosen == self.judged:
            return False
        self.judged = chosen
        return sum(self.log_zs[slice(*chosen)]) < _RELUCTANT

    def report(
        self,
        *,
        truncated: bool,
        overruled: int,
        vetoes: tuple[Finding, ...] = (),
        unchecked: Mapping[str, str] = MappingProxyType({}),
    ) -> ConstraintReport:
        """The figures as the client sees them."""
        return ConstraintReport(
            min_z=math.exp(self.min_log_z),
            sum_log_z=self.sum_log_z,
            rollbacks=self.rollbacks,
            forced=self.forced,
            resampled=self.resampled,
            truncated=truncated,
            overruled=overruled,
            distorted=self.distorted,
            vetoes=vetoes,
            unchecked=dict(unchecked),
        )


@dataclass(eq=False)
class Sequence:
    """Invariant between steps: ``computed < len(tokens)``, and the cache holds the keys and values of ``tokens[:computed]``.

    ``awaits``: what its constraint has to know before it can go on; it sits out steps until then.
    ``pool``: takes the hidden states of a request that asks for their vector; nothing is drawn for it.
    ``cached``: tokens whose keys and values were found in the cache when the sequence first ran; None before that.
    """

    request: Request
    seed: int
    tokens: list[int]
    text: OutputText
    constraint: Constraint | None
    drafter: Drafter | None
    computed: int = 0
    table: BlockTable = field(default_factory=BlockTable)
    cached: int | None = None
    distortion: Distortion = field(default_factory=Distortion)
    acceptance: Acceptance = field(default_factory=Acceptance)
    trust: Trust = field(default_factory=Trust)
    drafted: int = 0
    accepted: int = 0
    predicted: int = 0
    predicted_accepted: int = 0
    passes: int = 0
    awaits: Waitable | None = None
    pool: Pooled | None = None
    adapter: Adapter | None = None

    @classmethod
    def start(
        cls,
        request: Request,
        seed: int,
        tokenizer: Tokenizer,
        constraint: Constraint | None,
        adapter: Adapter | None = None,
        usual: Usual | None = None,
    ) -> Sequence:
        """A sequence of which nothing is computed yet."""
        drafter: Drafter | None = None
        pooling = request.pooling
        if pooling is not None:
            pass
        elif constraint is not None:
            drafter = ConstraintDrafter(constraint, request.prompt, usual)
        elif needs_history(request.sampling):
            pass  # each drafted row would need token counts of its own
        elif request.prediction:
            drafter = PredictionDrafter(request.prompt, request.prediction, usual)
        else:
            drafter = SuffixDrafter(request.prompt, usual)
        text = OutputText(tokenizer.detokenizer(request.visible), request.sampling.stop)
        pool = Pooled(pooling) if pooling is not None else None
        return cls(request, seed, list(request.prompt), text, constraint, drafter, pool=pool, adapter=adapter)

    @property
    def salt(self) -> Salt:
        """Whose cached prefixes it shares. A mean needs the hidden states of every token, which no cache keeps."""
        if self.request.pooling == "mean":
            return ALONE
        if self.adapter is not None:
            return ("adapter", str(self.adapter.number), self.request.cache_salt)
        return self.request.cache_salt

    @property
    def generated(self) -> int:
        """Output tokens so far."""
        return len(self.tokens) - len(self.request.prompt)

    @property
    def output(self) -> list[int]:
        """The output tokens."""
        return self.tokens[len(self.request.prompt) :]

    @property
    def pending(self) -> int:
        """Known tokens whose keys and values are not computed yet: 1 while decoding, more during the prompt."""
        return len(self.tokens) - self.computed

    @property
    def left(self) -> int:
        """Output tokens that the budget still allows."""
        return self.request.sampling.max_tokens - self.generated

    @property
    def waits(self) -> bool:
        """Whether it has to sit out the coming step."""
        if self.awaits is not None and self.awaits.ready:
            self.awaits = None
        return self.awaits is not None

    def follow(self, constraint: Constraint) -> None:
        """Make ``constraint`` the current state."""
        self.constraint = constraint
        if isinstance(self.drafter, ConstraintDrafter):
            self.drafter.state = constraint

    def rewind(self, keep: int) -> int:
        """Drop all but the first ``keep`` output tokens (the cache follows); returns how many sent characters stay valid."""
        del self.tokens[len(self.request.prompt) + keep :]
        del self.distortion.log_zs[keep:]
        self.distortion.judged = None
        self.computed = min(self.computed, len(self.tokens) - 1)
        if self.drafter is not None:
            self.drafter.rewind(keep)
        return self.text.rewind(keep)

    def usage(self) -> Usage:
        """The request's token counts as of now."""
        return Usage(
            prompt_tokens=len(self.request.prompt),
            completion_tokens=self.generated,
            cached_tokens=self.cached or 0,
            drafted=self.drafted,
            accepted=self.accepted,
            predicted=self.predicted,
            predicted_accepted=self.predicted_accepted,
            forward_passes=self.passes,
        )


@dataclass(frozen=True)
class Work:
    """One sequence's share of a step: compute ``count`` known tokens and verify the ``draft`` behind them.

    ``samples``: the share reaches the end of the known tokens, so a new token is drawn. ``forks``: the branches of a draft,
    whose tokens come behind those of the main one; so many of them are ``hoped`` to be confirmed.
    """

    sequence: Sequence
    count: int
    samples: bool
    draft: tuple[int, ...] = ()
    forced: int = 0
    predicted: bool = False
    evidence: int = 0
    forks: tuple[Fork, ...] = ()
    hoped: float = 0.0

    @property
    def rows(self) -> int:
        """Rows of the forward pass."""
        return self.count + len(self.draft)

    @property
    def last(self) -> int:
        """The position of its last known token."""
        return self.sequence.computed + self.count - 1

    @property
    def main(self) -> int:
        """How many tokens of the draft come one behind the other, before any branch."""
        return self.forks[0].start if self.forks else len(self.draft)

    @property
    def parents(self) -> list[int]:
        """What every drafted token comes behind; -1: the last known token."""
        return parents(self.main, self.forks)


def total_rows(work: Iterable[Work]) -> int:
    """Rows of the forward pass that ``work`` needs."""
    return sum(share.rows for share in work)
