"""Whether old calls fit a new signature, compared with Python's own binding of arguments."""

from __future__ import annotations

import ast
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.agent.checks.api import misfit

NAMES = ("a", "b", "c")


@st.composite
def signatures(draw: st.DrawFn) -> str:
    names = draw(st.permutations(NAMES))[: draw(st.integers(0, 3))]
    first = draw(st.integers(0, len(names)))
    second = draw(st.integers(first, len(names)))
    optional = False
    parts = []
    for index, name in enumerate(names):
        parts += ["/"] if index == first and first else []
        parts += ["*"] if index == second else []
        optional = draw(st.booleans()) if index >= second else optional or draw(st.booleans())
        parts.append(f"{name}=0" if optional else name)
    parts += ["/"] if first and first == len(names) else []
    if second == len(names) and draw(st.booleans()):
        parts.append("*rest")
    if draw(st.booleans()):
        parts.append("**more")
    return ", ".join(parts)


calls = st.tuples(st.integers(0, 4), st.sets(st.sampled_from([*NAMES, "z"])))


def bound(parameters: str, call: tuple[int, set[str]]) -> bool:
    """Whether Python takes the call. It is made: ``Signature.bind`` of 3.11 refuses some calls that Python takes."""
    scope: dict[str, Callable[..., None]] = {}
    exec(f"def f({parameters}): pass", scope)  # noqa: S102
    try:
        scope["f"](*range(call[0]), **dict.fromkeys(call[1], 0))
    except TypeError:
        return False
    return True


def arguments(parameters: str) -> ast.arguments:
    function = ast.parse(f"def f({parameters}): pass").body[0]
    assert isinstance(function, ast.FunctionDef)
    return function.args


@given(signatures(), signatures(), st.lists(calls, min_size=5, max_size=20))
def test_where_nothing_is_objected_every_old_call_fits(old: str, new: str, made: list[tuple[int, set[str]]]) -> None:
    if not misfit(arguments(old), arguments(new)):
        for call in made:
            assert not bound(old, call) or bound(new, call), (old, new, call)


@given(signatures())
def test_a_signature_fits_itself(one: str) -> None:
    assert not misfit(arguments(one), arguments(one))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a", "a, b=0"),
        ("a", "a=0"),
        ("a", "a, *, c=0"),
        ("a", "a, *rest"),
        ("a, /", "a"),
        ("*, a", "a"),
        ("", "**more"),
    ],
)
def test_what_old_callers_do_not_notice(old: str, new: str) -> None:
    assert not misfit(arguments(old), arguments(new))
