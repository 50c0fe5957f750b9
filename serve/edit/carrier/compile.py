"""From a carrier specification to its constraint."""

from __future__ import annotations

from dovetail.serve.constrain.base import Constraint
from dovetail.serve.constrain.grammar.compile import compile_grammar
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.carrier.call import Texts, files_of
from dovetail.serve.edit.carrier.constraint import CarrierConstraint
from dovetail.serve.edit.carrier.patching import patch_begins
from dovetail.serve.edit.carrier.watch import Heads, Outside
from dovetail.serve.types import CarrierSpec


def compile_carrier(spec: CarrierSpec, vocabulary: Vocabulary) -> Constraint:
    """The initial state of an output held to ``spec``. To be run in threads of grammars.

    Raises:
        UserError: its grammar cannot be used.
    """
    grammar = compile_grammar(spec.grammar, vocabulary) if spec.grammar is not None else None
    heads = Heads.of(spec.tools, Texts(vocabulary, spec.folder), patch_begins)
    spellings = {token: text.encode() for token, text in spec.spellings.items()}
    return CarrierConstraint(vocabulary, spellings, grammar, Outside(heads, files_of(spec)))
