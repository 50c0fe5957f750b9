"""Our vocabulary as llguidance wants it. Special tokens spell nothing, so no text ever matches one."""

from __future__ import annotations

from llguidance import LLTokenizer, TokenizerWrapper

from dovetail.serve.constrain.vocabulary import Vocabulary

_LEADS = ("", "\n")
"""A SentencePiece model puts a space before the first word of a text, but not behind a line feed."""


class _Spellings:
    """What TokenizerWrapper reads. One id is added behind the vocabulary: llguidance's end token, which nobody samples."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        size = len(vocabulary)
        self.tokens = [vocabulary.spelling(token) or b"" for token in range(size)] + [b"<end of text>"]
        self.special_token_ids = [size]
        self.eos_token_id = size
        self.bos_token_id = None

    def __call__(self, text: str) -> list[int]:
        wanted = text.encode()
        for lead in _LEADS:
            try:
                tokens = self._vocabulary.encode(lead + text)
            except ValueError:  # a tokenizer that cannot spell everything
                break
            while tokens and (spelling := self._vocabulary.spelling(tokens[0])) and lead.encode().startswith(spelling):
                lead = lead[len(spelling) :]
                tokens = tokens[1:]
            if b"".join(self._vocabulary.spelling(token) or b"" for token in tokens) == wanted:
                return tokens
        return self._longest_first(wanted)

    def _longest_first(self, text: bytes) -> list[int]:
        tokens: list[int] = []
        while text and (fitting := self._vocabulary.along(text)):
            tokens.append(fitting[-1])
            text = text[len(self._vocabulary.spelling(fitting[-1]) or b"") :]
        return tokens


def tokenizer_of(vocabulary: Vocabulary) -> LLTokenizer:
    """The vocabulary's LLTokenizer, built once. Its size is one more than the vocabulary's."""

    def build() -> LLTokenizer:
        return LLTokenizer(TokenizerWrapper(_Spellings(vocabulary)), n_vocab=len(vocabulary) + 1)

    return vocabulary.derived(("llguidance tokenizer",), build)
