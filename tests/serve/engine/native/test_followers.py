"""What else may come, and where a draft branches: counts that stay true, trees that hold together."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.serve.constrain.base import Constraint, Draft, Int32Array, Retreat
from dovetail.serve.engine.native.followers import Followers
from dovetail.serve.engine.native.history import History
from dovetail.serve.engine.native.sprout import Budget, Sprouting
from dovetail.serve.engine.native.usual import Usual, UsualSoon, kind_of

Run = Callable[..., dict[str, Any]]
KINDS = [0, 0, 1, 1, 2, 2]
tokens = st.lists(st.integers(0, 5), max_size=40)
USUAL = Usual([[0, 1, 2, 3] * 4, [1, 2, 4] * 3], KINDS)


@given(tokens, st.lists(st.one_of(tokens, st.integers(0, 20)), max_size=6))
def test_counts_are_those_of_the_text(prompt: list[int], changes: list[list[int] | int]) -> None:
    history, output = History(prompt, KINDS), list[int]()
    for change in changes:
        if isinstance(change, list):
            history.append(change)
            output += change
        else:
            history.rewind(min(change, len(output)))
            del output[change:]
        text = [*prompt, *output]
        assert history.tokens == text
        for key in {*text, *itertools.pairwise(text)}:
            run = key if isinstance(key, tuple) else (key,)
            places = range(len(run), len(text))
            expected = Counter(text[place] for place in places if tuple(text[place - len(run) : place]) == run)
            seen = history.seen(key)
            assert (dict(seen.top) if seen else {}) == dict(expected)
            assert seen is None or (seen.total, seen.different) == (expected.total(), len(expected))


@given(tokens, tokens, st.one_of(st.none(), st.integers(0, 5)), st.booleans())
def test_probabilities_are_probabilities(prompt: list[int], path: list[int], instead: int | None, usual: bool) -> None:
    followers = Followers(History(prompt, KINDS), USUAL if usual else None)
    found = followers.after(path, instead, 0.0)
    assert instead not in found
    assert all(share >= 0 for share in found.values()) and sum(found.values()) <= 1 + 1e-9


def test_what_followed_more_of_the_same_text_is_likelier() -> None:
    followers = Followers(History([1, 2, 3, 9, 2, 3, 5, 7, 3, 4, 1, 2, 3], [0] * 10), None)
    found = followers.after((), None, 0.0)
    assert found[9] > found[5] > found[4] > 0
    assert followers.after((9,), None, 0.0)[2] > 0.2, "behind a branch its own text counts"
    assert 9 not in followers.after((), 9, 0.0)


def test_what_usually_follows() -> None:
    seen = USUAL.after((1,))
    assert seen is not None and seen.pairs == [(2, 7)] and seen.total == 7
    assert USUAL.after((1, 2)) is not None
    assert USUAL.after((5,)) is None and USUAL.after((5, 5)) is None
    assert Usual([], []).after((0,)) is None


def test_kinds_of_tokens() -> None:
    assert kind_of(b" name") == kind_of(b" other") != kind_of(b"name")
    assert kind_of(b"    ") == kind_of(b"\t") and kind_of(b"7") == kind_of(b"42")
    assert kind_of(b" return") != kind_of(b" name") and kind_of(b"(") != kind_of(b")")
    assert kind_of(None) is None and kind_of(b"\n") != kind_of(b":\n")


class Below:
    """A constraint that allows tokens below its limit, which falls by one at each."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def allows(self, token: int) -> bool:
        return token < self.limit

    def admits(self, tokens: Sequence[int]) -> int:
        return next((at for at, token in enumerate(tokens) if token >= self.limit - at), len(tokens))

    def mask_into(self, words: Int32Array) -> bool:
        return False

    def advance(self, token: int) -> Constraint:
        assert token < self.limit
        return Below(self.limit - 1)

    def draft(self, limit: int) -> Draft:
        return Draft(())

    def may_end(self) -> bool:
        return True

    def retreat(self) -> Retreat | None:
        return None

    def settled(self) -> int | None:
        return None


@settings(max_examples=60)
@given(tokens, tokens, st.integers(0, 20), st.integers(0, 8), st.sampled_from([0.0, 0.05, 9.0]), st.booleans())
def test_a_tree_holds_together(
    prompt: list[int], drafted: list[int], rows: int, kept: int, price: float, held: bool
) -> None:
    draft = Draft(drafted[:rows], forced=min(kept, rows), evidence=2)
    state: Constraint | None = Below(6) if held else None
    if state is not None:
        draft = draft._replace(tokens=draft.tokens[: state.admits(draft.tokens)])
    kept = min(kept, len(draft.tokens))
    rates = [0.6] * len(draft.tokens)
    grown = Sprouting(draft, rates, Followers(History(prompt, KINDS), USUAL), state).grown(Budget(rows, kept, price))
    main = len(grown.tokens)
    assert kept <= main and list(grown.tokens) == list(draft.tokens[:main])
    paths = [tuple(grown.tokens[: at + 1]) for at in range(main)]
    for branch in grown.branches:
        assert branch.tokens and -1 <= branch.behind < len(paths)
        path = paths[branch.behind] if branch.behind >= 0 else ()
        for token in branch.tokens:
            path = (*path, token)
            paths.append(path)
    assert len(set(paths)) == len(paths) <= max(rows, main)
    assert all(state is None or state.admits(path) == len(path) for path in paths)
    assert price < 9 or not grown.branches, "no row pays at that price"
    assert 0 <= grown.hoped <= len(paths) - main


def test_nothing_of_an_output_changes(tiny: Any, run: Run) -> None:
    text = "for index, name in enumerate(names):\n    print(index)\nfor index, each in enumerate(names):\n" * 3
    spellings = [tiny.tokenizer.token_bytes(token) for token in range(tiny.tokenizer.size)]
    kinds: dict[object, int] = {}
    usual = Usual([tiny.tokenizer.encode(text)], [kinds.setdefault(kind_of(each), len(kinds)) for each in spellings])

    class There:
        now = usual

    there: UsualSoon = There()  # type: ignore[assignment]
    for temperature in (0.0, 0.5):
        requests = [
            tiny.request(
                text, f"r{i}", temperature=temperature, seed=i, max_tokens=80, ignore_eos=True, logit_bias={40: 6.0}
            )
            for i in range(3)
        ]
        plain = run(tiny.engine(max_draft=0), requests)
        engine = tiny.engine(eager_drafts=True)
        engine._usual = there
        branched = run(engine, requests)
        assert [branched[name].tokens for name in plain] == [result.tokens for result in plain.values()]
        passes, without = (
            sum(each.finish.usage.forward_passes for each in results.values()) for results in (branched, plain)
        )
        assert passes < without
