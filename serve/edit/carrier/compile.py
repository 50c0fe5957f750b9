"""From a carrier specification to its constraint, and what its first masks need, found beside everything else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dovetail.serve.constrain.base import Constraint
from dovetail.serve.constrain.grammar.compile import compile_grammar
from dovetail.serve.constrain.syntax.gates import LOCAL_GATES, Gates
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.carrier.blocks import BlockText, block_begins
from dovetail.serve.edit.carrier.call import Call, Files, Texts, files_of
from dovetail.serve.edit.carrier.constraint import CarrierConstraint
from dovetail.serve.edit.carrier.keywords import keywords_begin
from dovetail.serve.edit.carrier.new_text import Grammars
from dovetail.serve.edit.carrier.patching import Patching, patch_begins
from dovetail.serve.edit.carrier.ruling import Project, Ruling
from dovetail.serve.edit.carrier.watch import Heads, Outside, State
from dovetail.serve.edit.policy.combine import policy_of
from dovetail.serve.types import CarrierSpec

_BEGUN: dict[str, Callable[[Heads, Call, bytes], State]] = {"python": keywords_begin, "blocks": block_begins}
_PREPARED_AT_MOST = 1 << 20
"""Characters of known files that are prepared ahead, those shown last first."""


def compile_carrier(
    spec: CarrierSpec,
    vocabulary: Vocabulary,
    beside: Callable[[Callable[[], None]], object] = lambda call: None,
    gates: Gates | None = None,
) -> Constraint:
    """The initial state of an output held to ``spec``. To be run in threads of grammars.

    ``beside``: runs calls while the engine does something else: the first mask over a file takes some 100 ms per 100 kB.
    ``gates``: read known files, so that new text is held to their languages.

    Raises:
        UserError: its grammar cannot be used.
    """
    grammar = compile_grammar(spec.grammar, vocabulary) if spec.grammar is not None else None
    grammars = Grammars(vocabulary, gates) if gates is not None else None
    ruling = None
    if spec.policy:
        ruling = Ruling(Project(policy_of(spec.policy), spec.folder), gates if gates is not None else LOCAL_GATES)
    heads = Heads.of(spec.tools, Texts(vocabulary, spec.folder, grammars, ruling), patch_begins, _BEGUN)
    spellings = {token: text.encode() for token, text in spec.spellings.items()}
    files = files_of(spec)
    left = _PREPARED_AT_MOST
    for path in reversed(files):
        left -= sum(map(len, files[path].pieces))
        if left < 0:
            break
        beside(partial(_prepare, heads, files, path))
    return CarrierConstraint(vocabulary, spellings, grammar, Outside(heads, files))


def _prepare(heads: Heads, files: Files, path: str) -> None:
    """Compute what quotations of the file begin with, by every tool, and keep it with the file's text."""
    vocabulary, grammars = heads.texts.vocabulary, heads.texts.grammars
    if grammars is not None and files[path].whole and any(tool.new for tool in heads.tools):
        grammars.gate(files[path])
    for tool in heads.tools:
        in_json = tool.style in ("json", "python") or bool(tool.edits)
        closer = b'"' if in_json else tool.tags[2].encode()
        call = Call(tool, heads.texts, files, path=path)
        if tool.style == "blocks":
            begun = block_begins(heads, call, b"")
            if isinstance(begun, BlockText):
                begun.mask(vocabulary)
        elif tool.patch:
            section = Patching(heads, call, tool.patch, closer if tool.style != "plain" else b"").section_of(path)
            if section is not None:
                section.mask(vocabulary)
        elif tool.old and (quoting := call.quoting(in_json=in_json)) is not None:
            quoting.mask(vocabulary, closer)
