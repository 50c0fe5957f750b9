"""Grammars of tool calls: free text until an opener, then calls whose arguments keep to their schemas. Knows no dialect.

A dialect is described by the texts around the calls, so that any model's way of writing them can be put together from here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dovetail.serve.constrain.grammar.lark import json_rule, literal, one_of
from dovetail.serve.constrain.grammar.source import prepared_schema
from dovetail.serve.types import GrammarSpec, Whitespace


@dataclass(frozen=True)
class CallForm:
    """One callable tool: ``before`` and ``after`` as they stand around its arguments, a Lark expression."""

    before: str
    arguments: str
    after: str


@dataclass(frozen=True)
class CallsForm:
    """Text around calls. ``opener`` begins the first one, ``between`` separates two (with the next opener, if there is one
    for each), ``closer`` ends the last. ``opener_token``: the opener is this special token, ``opener`` follows it."""

    opener: str
    between: str = ""
    closer: str = ""
    opener_token: int | None = None


def arguments(
    schema: Any, *, param: str, whitespace: Whitespace = "flexible", lenient: bool = True
) -> tuple[str, list[str]]:
    """A JSON schema as the Lark expression of a CallForm, and the keywords (JSON pointers) that are not enforced.

    Raises:
        UserError: no schema, or (unless ``lenient``) one with a keyword that cannot be enforced; names ``param``.
    """
    spec = GrammarSpec(kind="json_schema", source=json.dumps(schema), param=param, lenient=lenient)
    prepared = prepared_schema(spec)
    expression = json_rule(prepared.schema, whitespace, lenient=lenient)
    return expression, [path for path, _ in prepared.unsupported]


def calls_grammar(
    calls: Sequence[CallForm],
    form: CallsForm,
    *,
    text: bool = True,
    required: bool = False,
    several: bool = True,
    param: str = "tools",
) -> GrammarSpec:
    """An output that is text, then calls.

    Args:
        calls: at least one.
        text: whether text may come before the first call.
        required: whether there must be a call.
        several: whether more than one call may be made.
    """
    assert calls, "a grammar of calls needs something to call"
    rules = [f"call_{number}: {_sequence(call)}" for number, call in enumerate(calls)]
    rules += [f"call: {one_of([f'call_{number}' for number in range(len(calls))])}"]
    more = f"({literal(form.between)} call)*" if several else ""
    rules += [
        f"calls: {literal(form.opener) if form.opener_token is not None else ''} call {more} {literal(form.closer)}"
    ]
    if form.opener_token is not None:
        opening = f"{'TEXT ' if text else ''}<[{form.opener_token}]>"
    else:
        opening = "opening"
        rules += [f"opening[lazy]: TEXT {literal(form.opener)}" if text else f"opening: {literal(form.opener)}"]
    rules += ["TEXT: /(.|\\n)*/"]
    start = [f"{opening} calls"] + ([] if required else ["TEXT"])
    source = "\n".join([f"start: {' | '.join(start)}", *rules])
    special = (form.opener_token,) if form.opener_token is not None else ()
    return GrammarSpec(kind="lark", source=source, param=param, special_tokens=special)


def _sequence(call: CallForm) -> str:
    return " ".join(part for part in (literal(call.before), call.arguments, literal(call.after)) if part)
