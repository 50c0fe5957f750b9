"""A random model under a carrier constraint, and the calls that it made as each family's reader gives them out."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from byte_pairs import spelled, vocabulary
from offered import Offered

from dovetail.models.dialects.family import Family
from dovetail.models.dialects.lark import Lark
from dovetail.serve.constrain.base import Constraint, Retreat
from dovetail.serve.edit.carrier.compile import compile_carrier
from dovetail.serve.types import CarrierSpec, CarrierTool, GrammarSpec, KnownFile

CLOSERS = frozenset(b'"}],:<\n')


def edit_tool(paths: Sequence[str], *, everywhere: bool = False) -> Offered:
    """An edit tool that is only ever called for ``paths``."""
    properties: dict[str, Any] = {
        "file_path": {"enum": list(paths)},
        "old_string": {"type": "string"},
        "new_string": {"type": "string"},
    }
    if everywhere:
        properties["replace_all"] = {"type": "boolean"}
    required = ["file_path", "old_string", "new_string"]
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return Offered("Edit", parameters=schema)


def carrier(
    family: Family, tool: Offered, files: Sequence[KnownFile], *, parallel: bool = False, empty_old: bool = False
) -> CarrierSpec:
    """Calls of ``tool`` and nothing else, held to ``files``."""
    lark = Lark({})
    calls = family.calls((tool,), parallel, lark)
    source = lark.text(f"{lark.literal(family.opener)} {calls}" if family.opener else calls)
    head = family.head(tool)
    assert head is not None
    everywhere = "replace_all" if "replace_all" in json.dumps(tool.parameters) else ""
    carried = CarrierTool(
        name=tool.name,
        head=head.pattern,
        style=head.style,
        tags=head.tags,
        path="file_path",
        old="old_string",
        new="new_string",
        everywhere=everywhere,
        empty_old=empty_old,
    )
    grammar = GrammarSpec(kind="lark", source=source, param="tools")
    return CarrierSpec(files=tuple(files), tools=(carried,), grammar=grammar)


def start(spec: CarrierSpec) -> Constraint:
    """Before the first token."""
    return compile_carrier(spec, vocabulary())


def mask_of(state: Constraint) -> np.ndarray:
    """The allowed tokens, as booleans."""
    words = np.full(vocabulary().words, -1, dtype=np.int32)
    state.mask_into(words)
    return np.unpackbits(words.view(np.uint8), bitorder="little").astype(bool)


_CLOSING = np.array(
    [bool(spelling) and spelling[0] in CLOSERS for spelling in map(vocabulary().spelling, range(len(vocabulary())))]
)


def walk(spec: CarrierSpec, seed: int, longest: int = 300) -> str:
    """What a random model writes until it is complete, or ``longest`` tokens are spent."""
    return walk_from(start(spec), seed, longest)


def walk_from(
    state: Constraint, seed: int, longest: int = 300, let_go: list[Retreat] | None = None, follow: float = 0.3
) -> str:
    """The same from a state. ``let_go``: takes the retreats, which keep everything, and a text that is
    cut off is empty then; None: there may be none. ``follow``: how often drafts are followed."""
    choose = random.Random(seed)
    tokens: list[int] = []
    hurry = choose.choice((0.05, 0.3, 0.6))
    while len(tokens) < longest and not state.may_end():
        allowed = np.flatnonzero(mask_of(state))
        closing = allowed[_CLOSING[allowed]]
        hurried = len(closing) and choose.random() < hurry
        candidates = (closing if hurried else allowed).tolist()
        choose.shuffle(candidates)
        draft = state.draft(8).tokens if choose.random() < follow else ()
        token = next((each for each in [*draft[:1], *candidates, *allowed.tolist()] if state.allows(each)), None)
        if token is None and let_go is not None and (retreat := state.retreat()) is not None:
            let_go.append(retreat)
            state = retreat.state
            continue
        assert token is not None, f"nothing can follow {spelled(tokens)!r}"
        state = state.advance(token)
        tokens.append(token)
    if let_go is not None and not state.may_end():
        return ""
    return spelled(tokens).decode(errors="ignore")


def calls_in(family: Family, tool: Offered, text: str) -> list[dict[str, Any]]:
    """The arguments of the complete calls."""
    reader = family.reader((tool,), None, False)
    pieces = [*reader.feed(text), *reader.finish()]
    found: list[str] = []
    for piece in pieces:
        if piece.kind == "call":
            found.append("")
        elif piece.kind == "arguments":
            found[-1] += piece.text
    complete = []
    for text in found:
        try:
            complete.append(json.loads(text))
        except ValueError:
            continue
    return complete
