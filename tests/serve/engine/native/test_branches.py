"""Drafts that branch: the same tokens as without, whatever the tree; no block is lost over it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail.serve.constrain.base import Branch, Draft
from dovetail.serve.engine.native.blocks import BlockPool, BlockTable
from dovetail.serve.engine.native.branching import branched, settled
from dovetail.serve.engine.native.fork import forked
from dovetail.serve.engine.native.loop import NativeEngine
from dovetail.serve.engine.native.sequence import Sequence, Work

Run = Callable[..., dict[str, Any]]


def random_tree(truth: list[int], limit: int, rng: random.Random, vocabulary: int) -> Draft:
    """Some of ``truth`` somewhere among random tokens: in the main draft, in branches, in branches of branches."""

    def tokens(depth: int, count: int) -> list[int]:
        right = [truth[depth + i] if depth + i < len(truth) else 0 for i in range(count)]
        return [token if rng.random() < 0.8 else rng.randrange(vocabulary) for token in right]

    main = tokens(0, rng.randrange(limit + 1))
    depths, children = list(range(1, len(main) + 1)), {(at - 1, token) for at, token in enumerate(main)}
    branches: list[Branch] = []
    while len(depths) < limit and rng.random() < 0.9:
        behind = rng.randrange(-1, len(depths))
        depth = depths[behind] if behind >= 0 else 0
        new = tokens(depth, rng.randint(1, min(4, limit - len(depths))))
        if (behind, new[0]) in children:
            continue
        first = len(depths)
        children |= {(behind, new[0])} | {(first + at - 1, token) for at, token in enumerate(new) if at}
        branches.append(Branch(behind, new))
        depths += range(depth + 1, depth + 1 + len(new))
    return Draft(main, branches=branches)


class Foresight(NativeEngine):
    """An engine whose drafts are random trees that know something of what comes."""

    truths: dict[str, list[int]]
    rng: random.Random

    def _propose(self, sequence: Sequence, limit: int) -> Draft:
        ahead = self.truths[sequence.request.request_id][sequence.generated :]
        return random_tree(ahead, limit, self.rng, self._vocab_size)


def foreseeing(tiny: Any, truths: dict[str, list[int]], seed: int, **sizes: Any) -> Foresight:
    engine = tiny.engine(**sizes)
    engine.__class__ = Foresight
    engine.truths, engine.rng = truths, random.Random(seed)
    return engine  # type: ignore[no-any-return]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.9]), st.sampled_from([3, 4, 16]))
def test_the_same_tokens_with_random_trees(tiny: Any, run: Run, seed: int, temperature: float, block: int) -> None:
    texts = ["def add(a, b):\n    return a", "x", "class Counter:\n    pass\n" * 3]
    requests = [
        tiny.request(text, f"r{i}", temperature=temperature, seed=seed, max_tokens=20 + i, ignore_eos=True, logprobs=1)
        for i, text in enumerate(texts)
    ]
    plain = run(tiny.engine(max_draft=0, block_size=block), requests)
    truths = {name: result.tokens for name, result in plain.items()}
    blocks = random.Random(seed).choice([40, 400])
    engine = foreseeing(tiny, truths, seed, kv_blocks=blocks, block_size=block, max_draft=9, max_batched_tokens=40)
    drafted = run(engine, requests)
    for name, result in plain.items():
        assert drafted[name].tokens == result.tokens
        assert [each.logprob for each in drafted[name].logprobs] == [each.logprob for each in result.logprobs]
    usage = drafted["r2"].finish.usage
    assert usage.accepted <= usage.drafted and usage.forward_passes < 22


def test_branches_are_taken_and_what_they_wrote_is_read_later(tiny: Any, run: Run) -> None:
    request = tiny.request("def add(a, b):\n", max_tokens=60, ignore_eos=True)
    truth = run(tiny.engine(max_draft=0), [request])["r"].tokens

    class Second(Foresight):
        def _propose(self, sequence: Sequence, limit: int) -> Draft:
            ahead = self.truths["r"][sequence.generated :][:limit]
            wrong = (ahead[0] + 1) % self._vocab_size
            return Draft([wrong], branches=[Branch(-1, ahead[:1]), Branch(1, ahead[1:3])]) if limit > 3 else Draft(())

    engine = foreseeing(tiny, {"r": truth}, 0)
    engine.__class__ = Second
    result = run(engine, [request])["r"]
    assert result.tokens == truth
    assert result.finish.usage.forward_passes < 25, "three tokens out of every branch and one more"
    again = run(engine, [tiny.request("def add(a, b):\n" + tiny.tokenizer.decode(truth[:40]), max_tokens=1)])
    assert again["r"].finish.usage.cached_tokens > 0


def test_no_blocks_no_branches() -> None:
    pool = BlockPool(9, 4)
    sequence = Sequence.__new__(Sequence)
    sequence.__dict__.update(computed=5, table=BlockTable(), tokens=[1] * 6)
    assert pool.grow(sequence.table, 8)
    share = Work(sequence, 1, True, (7, 8))
    branches = [Branch(-1, (9,)), Branch(1, (10, 11, 12)), Branch(0, (13,))]
    assert branched(share, Draft((7, 8), branches=branches), pool, 10, 0, 9) is share
    assert branched(share, Draft((7, 8), branches=branches), pool, 0, 10, 9) is share
    assert branched(share, Draft((7, 8), branches=branches), pool, 10, 10, 0) is share
    wider = branched(share, Draft((7, 8), branches=branches), pool, 10, 10, 9)
    assert wider.draft == (7, 8, 9, 10, 11, 12, 13) and wider.parents == [-1, 0, -1, 1, 3, 4, 0]
    runs = forked(wider.draft, wider.forks, 5, sequence.table.blocks, 4)
    assert [(run.tokens, run.first) for run in runs] == [((9,), 6), ((10, 11, 12), 8), ((13,), 7)]
    assert [len(run.copies) for run in runs] == [2, 4, 3], (
        "what lies in the block of the last known token, and the draft"
    )
    old, own = list(sequence.table.blocks), list(wider.forks[1].table.blocks)
    settled(wider, 4, pool)
    assert sequence.table.blocks == [old[0], *own]
    pool.check([sequence.table])
    assert pool.free == 9 - 1 - len(own)
