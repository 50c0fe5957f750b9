"""Byte-level BPE whose pieces never depend on what stands around them.

An identifier is split the same way wherever it stands (no leading space is ever part of a word),
and no piece crosses a line end. Copying a line or a name is then copying the same token ids,
which a small model learns far sooner. Any text round-trips exactly: no normaliser, full byte
alphabet. Knows nothing of tasks or of the network.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY: Final = 4096
END: Final = "<|endoftext|>"
IM_START: Final = "<|im_start|>"
IM_END: Final = "<|im_end|>"
FIM_PREFIX: Final = "<|fim_prefix|>"
FIM_SUFFIX: Final = "<|fim_suffix|>"
FIM_MIDDLE: Final = "<|fim_middle|>"
FILE_SEP: Final = "<|file_sep|>"
TASK: Final = "<|task|>"
EDIT: Final = "<|edit|>"
SPECIAL: Final = (END, IM_START, IM_END, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE, FILE_SEP, TASK, EDIT)

SEARCH_MARK: Final = "<<<<<<< SEARCH\n"
DIVIDER_MARK: Final = "=======\n"
REPLACE_MARK: Final = ">>>>>>> REPLACE\n"
MARKERS: Final = (SEARCH_MARK, DIVIDER_MARK, REPLACE_MARK)

_KEYWORDS: Final = "def class return import from if elif else for in while with as not and or is raise yield lambda assert await async del"
# In order: keyword with its space | word or part of one | one digit | a run of spaces or tabs |
# punctuation with at most one space on each side or a line end | line end | anything else.
_PATTERN: Final = "|".join(
    (
        rf"(?:{'|'.join(_KEYWORDS.split())}) ",
        r"_*\p{Lu}?\p{Ll}+",
        r"_*\p{Lu}+(?!\p{Ll})",
        r"_*\p{L}+",
        r"_+",
        r"\p{N}",
        r"[ \t]{2,}",
        r" ?[^\s\p{L}\p{N}_]+(?:\n| (?! ))?",
        r"\r?\n",
        r"[ \t]+",
        r"\s",
    )
)


def train(texts: Iterable[str], vocabulary: int = VOCABULARY) -> Tokenizer:
    """Train on texts; special tokens first, edit markers last."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(MARKERS),
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=24,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in MARKERS])
    return tokenizer


def ids_of(tokenizer: Tokenizer, *tokens: str) -> list[int]:
    """Ids of tokens that must exist."""
    ids: list[int] = []
    for token in tokens:
        number = tokenizer.token_to_id(token)
        if number is None:
            raise KeyError(f"not in the vocabulary: {token!r}")
        ids.append(number)
    return ids


def write_config(directory: Path, chat_template: str) -> None:
    """Write the files beside tokenizer.json that make the directory an ordinary Hugging Face one."""
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": False,
        "add_prefix_space": False,
        "bos_token": None,
        "eos_token": END,
        "pad_token": END,
        "unk_token": None,
        "additional_special_tokens": list(SPECIAL[1:]),
        "clean_up_tokenization_spaces": False,
        "model_max_length": 65536,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (directory / "chat_template.jinja").write_text(chat_template)
