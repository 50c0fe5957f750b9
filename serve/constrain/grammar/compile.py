"""From a grammar specification to its constraint, compiled once per vocabulary and copied for every output."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
from llguidance import LLMatcher

from dovetail.serve.constrain.base import Int32Array
from dovetail.serve.constrain.grammar.constraint import Cursor, GrammarConstraint
from dovetail.serve.constrain.grammar.lark import unforced
from dovetail.serve.constrain.grammar.limits import PARSER_LIMITS
from dovetail.serve.constrain.grammar.source import check_grammar, explained, grammar_text, left_out, refused
from dovetail.serve.constrain.grammar.tokens import tokenizer_of
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.types import GrammarSpec

_LEAST_KEPT, _KEPT_PER_CHARACTER = 256 << 10, 16


_BYTES = Vocabulary([bytes((byte,)) for byte in range(256)], lambda text: list(text.encode()))
"""The smallest vocabulary that can spell everything."""


def checked(spec: GrammarSpec) -> list[str]:
    """The keywords of a lenient schema that are not enforced. To be run in threads.py.

    Raises UserError 400 for all that can be wrong with a grammar whatever the vocabulary. It takes about as long as to compile it:
    most of that is its lexer and the first mask, where each of many alternatives may begin, and no vocabulary changes much about it.
    """
    check_grammar(spec)
    if not spec.special_tokens:
        compile_grammar(spec, _BYTES)
    return left_out(spec)


def compile_grammar(spec: GrammarSpec, vocabulary: Vocabulary) -> GrammarConstraint:
    """The initial state of an output held to ``spec``. To be run in threads.py.

    Raises:
        UserError: the grammar is not valid, uses what cannot be enforced, is too large, or allows no output.
    """
    digest = hashlib.sha256(msgspec.msgpack.encode(msgspec.structs.replace(spec, param=""))).digest()
    size = max(_LEAST_KEPT, _KEPT_PER_CHARACTER * len(spec.source))
    matcher = vocabulary.derived(("grammar", digest), lambda: _compiled(spec, vocabulary), size)
    return _started(matcher, spec, vocabulary)


def _compiled(spec: GrammarSpec, vocabulary: Vocabulary) -> LLMatcher:
    matcher = LLMatcher(tokenizer_of(vocabulary), unforced(grammar_text(spec)), log_level=0, limits=PARSER_LIMITS)
    if matcher.is_error():
        raise explained(spec, matcher.get_error())
    start = _started(matcher, spec, vocabulary)
    words = np.zeros(vocabulary.words, dtype=np.int32)
    start.mask_into(words)
    if not words.any() and not start.may_end():
        raise refused(spec, "no output can satisfy it")
    return matcher


def _started(matcher: LLMatcher, spec: GrammarSpec, vocabulary: Vocabulary) -> GrammarConstraint:
    return Cursor(matcher, tokenizer_of(vocabulary), _allowed(vocabulary, spec.special_tokens), spec.param).start


def _allowed(vocabulary: Vocabulary, special: tuple[int, ...]) -> Int32Array:
    """The tokens that spell something, and the ``special`` ones that this grammar names."""

    def build() -> Int32Array:
        ordinary = (token for token in range(len(vocabulary)) if vocabulary.spelling(token))
        return vocabulary.pack([*ordinary, *special])

    return vocabulary.derived(("grammar tokens", special), build)
