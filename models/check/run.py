"""All parts of the check, one after the other."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dovetail.models.check.finding import CannotCheck, Finding
from dovetail.models.check.samples import TEXTS
from dovetail.models.config import ModelConfig
from dovetail.models.fields import read_optional_json
from dovetail.models.tokenizer import Tokenizer


def check_model(directory: Path, dtype: str, device: str) -> Iterator[Finding]:
    """Findings as they are made.

    Args:
        directory: the model directory.
        dtype: the type that both compute in: float32, bfloat16 or float16.
        device: where both run; first ours, then transformers', so that memory holds one of them.

    Raises:
        CannotCheck: transformers is missing, or cannot read the directory.
        ModelDirectoryError: Dovetail cannot read it.
    """
    config = ModelConfig.load(directory)
    kind = f"{config.architecture}, {config.num_layers} layers, context of {config.max_position_embeddings} tokens"
    yield Finding("family", True, f"{config.family.name} ({kind})")
    reference = _reference_tokenizer(directory)
    import torch

    from dovetail.models.check.logits import MOST_TOKENS, compare, our_logits, their_logits
    from dovetail.models.check.text import check_template, check_tokens

    tokenizer = Tokenizer.load(directory)
    yield check_tokens(tokenizer, reference)
    yield check_template(directory, tokenizer, reference)
    tokens = [token for text in TEXTS for token in tokenizer.encode(text) if token < config.vocab_size]
    tokens = tokens[: min(MOST_TOKENS, config.max_position_embeddings)]
    computed: torch.dtype = getattr(torch, dtype)
    ours = our_logits(directory, tokens, computed, device)
    try:
        theirs = their_logits(directory, tokens, computed, device)
    except (OSError, ValueError, ImportError) as error:
        raise CannotCheck(f"transformers cannot load the weights: {error}") from error
    yield compare(ours, theirs, computed)


def _reference_tokenizer(directory: Path) -> Any:
    if importlib.util.find_spec("transformers") is None:
        raise CannotCheck("transformers is not installed; the check needs it: pip install 'transformers>=5,<6'")
    from transformers import AutoTokenizer, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    # The automatic choice goes by the model's type and puts that type's rules in the place of tokenizer.json's.
    named = read_optional_json(directory / "tokenizer_config.json").get("tokenizer_class")
    kind = PreTrainedTokenizerFast if named == "PreTrainedTokenizerFast" else AutoTokenizer
    try:
        return kind.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError, ImportError) as error:
        raise CannotCheck(f"transformers cannot read the tokenizer: {error}") from error
