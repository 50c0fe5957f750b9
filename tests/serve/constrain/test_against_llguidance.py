"""The copy engine against another: llguidance's substring regex, less what is there more than once, token for token."""

from __future__ import annotations

import json
import random

import pytest
from byte_pairs import vocabulary
from llguidance import LLMatcher

from dovetail.serve.constrain.grammar.tokens import tokenizer_of
from dovetail.serve.edit.compile import compile_edit
from dovetail.serve.types import EditSpec, SourceFile

DIVIDER = "=======\n"
CONTENTS = {
    "plain": "import os\n\n\ndef first(a, b):\n    return a + b\n\n\nclass K:\n    def m(self):\n        return [x for x in y]\n",
    "repeated": "def f():\n    return 1\n\n\n" * 3 + "def g():\n    return 1\n",
    "alike": "aa = 1\naa = 1\nb = 2\nxaa = 1\naa = 11\n",
    "rules": "== x\n========\ntext\n=\n====== =\n\n",
    "windows": "a\r\nb\r\n\r\na\r\nc\r\n",
    "tabs and letters": "\tx = 'größe'\n\t\ty = '🎈'\n\tx = 'grün'\n",
}


def _grammar(content: str) -> str:
    """A block's quotation and the divider in one terminal: line-aligned, and there once."""
    lines = [line + "\n" for line in content.split("\n")[:-1]]
    texts = {"".join(lines[k:j]) for k in range(len(lines)) for j in range(k + 1, len(lines) + 1)}
    twice = sorted(text for text in texts if content.find(text) != content.rfind(text))
    several = f" & ~({' | '.join(json.dumps(text, ensure_ascii=False) for text in twice)})" if twice else ""
    chunks = json.dumps({"substring_chunks": lines}, ensure_ascii=False)
    return f"""start: BLOCK
BLOCK: (SUB & SOME{several}) {json.dumps(DIVIDER)}
SOME: /(.|\\n)+/
SUB: %regex {chunks}
"""


@pytest.mark.parametrize("name", sorted(CONTENTS))
def test_the_same_tokens(name: str) -> None:
    content, words = CONTENTS[name], vocabulary()
    spec = EditSpec(files=(SourceFile("a.txt", content),))
    opened = compile_edit(spec, words)
    for token in words.encode("a.txt\n<<<<<<< SEARCH\n"):
        opened = opened.advance(token)
    tokenizer = tokenizer_of(words)
    grammar = _grammar(content)
    for seed in range(3):
        chance = random.Random(seed)
        matcher = LLMatcher(tokenizer, LLMatcher.grammar_from_lark(grammar))
        assert not matcher.get_error(), matcher.get_error()
        state, quoted = opened, b""
        while not quoted.endswith(b"\n" + DIVIDER.encode()):
            # Its mask would hold one spelling only of text that is forced.
            theirs = {token for token in range(len(words)) if matcher.validate_tokens([token])}
            ours = {token for token in range(len(words)) if state.allows(token)}
            beyond = {token for token in ours if b"\n=======\n" in (quoted + (words.spelling(token) or b""))[:-1]}
            assert ours - beyond == theirs, (quoted, [words.spelling(t) for t in (ours - beyond) ^ theirs])
            token = chance.choice(sorted(theirs))
            quoted += words.spelling(token) or b""
            state = state.advance(token)
            assert matcher.consume_token(token)
