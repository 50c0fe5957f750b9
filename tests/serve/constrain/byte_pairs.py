"""A small byte-level BPE vocabulary for tests, trained on the standard library, with marker lines and unkind tokens."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from dovetail.serve.constrain.vocabulary import Vocabulary

LIBRARY = Path(os.__file__).parent
MARKER_TOKENS = ("<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE")
UNKIND = (
    b"\n=======\n",
    b")\n=======\n",
    b"=======\n    ",
    b"\n=======\n>>>>>>> REPLACE\n",
    b">>>>>>> REPLACE\n",
    b"\n>>>>>>> REPLACE\n",
    b">>>>>>> REPLACE\na.py",
    b"\n>>>>>>>",
    b">>>",
    b" REPLACE\n",
    b"<<<<<<< SEARCH\n",
    b"<<<<<<< SEARCH\n\n",
    b"\r\n",
    b"\n\n",
    b"\n    ",
    b"x\n}\n",
    b"\n+",
    b"\n-",
    b"\n ",
    b"+\n",
    b"\n***",
    b"*** End Patch",
    b"*** Update File: ",
    b"\n+\n*** End Patch\n",
    b"@@\n",
    b"@@\n-",
    b"\n@@ @@\n",
    b"```\n",
    b"\n```",
    b"```diff\n",
    b'"}\n',
    b'\\n"}\n',
    b'\\n", "',
    b'", "new_string": "',
    b"\\n    ",
    b"\\u00",
)


@cache
def vocabulary() -> Vocabulary:
    """About 2,500 tokens; the first two spell nothing, the last are the unkind ones."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=2400,
        special_tokens=["<|end|>", "<|pad|>"],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train([str(LIBRARY / name) for name in ("argparse.py", "shlex.py", "textwrap.py", "heapq.py")], trainer)
    tokenizer.add_tokens([AddedToken(marker, normalized=False) for marker in MARKER_TOKENS])
    letters = _letters()
    spellings: list[bytes | None] = [None, None]
    for token in range(2, tokenizer.get_vocab_size()):
        text = tokenizer.id_to_token(token)
        spellings.append(text.encode() if text in MARKER_TOKENS else bytes(letters[letter] for letter in text))
    return Vocabulary([*spellings, *UNKIND, None], lambda text: tokenizer.encode(text, add_special_tokens=False).ids)


def spelled(tokens: list[int]) -> bytes:
    """What the tokens spell."""
    return b"".join(vocabulary().spelling(token) or b"" for token in tokens)


def _letters() -> dict[str, int]:
    """The usual byte-level alphabet: printable bytes stand for themselves, the others for letters from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in set(printable)]
    return letters | {chr(256 + index): byte for index, byte in enumerate(others)}
