"""tokenizer.model: exact bytes for any text, and the ids of the sentencepiece library itself."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.random_checkpoint import CORPUS
from dovetail.models.spelling import METASPACE
from dovetail.models.tokenizer import Tokenizer


def train(path: Path, *, byte_fallback: bool = True) -> Path:
    """A Llama-style model in ``path``/tokenizer.model."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.splitlines()),
        model_writer=model,
        model_type="bpe",
        vocab_size=480 if byte_fallback else 200,
        byte_fallback=byte_fallback,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        user_defined_symbols=["<PRE>", "<|fim|>"],
        minloglevel=2,
    )
    (path / "tokenizer.model").write_bytes(model.getvalue())
    return path


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = train(tmp_path_factory.mktemp("sentencepiece"))
    config = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "legacy": False,
        "added_tokens_decoder": {
            "480": {"content": "<|im_end|>", "special": True},
            "481": {"content": "<<<<<<< SEARCH\n", "special": False},
        },
    }
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    return path


@pytest.fixture(scope="module")
def tokenizer(directory: Path) -> Tokenizer:
    return Tokenizer.load(directory)


def spelled(tokenizer: Tokenizer, ids: list[int]) -> bytes:
    pieces = [tokenizer.token_bytes(i) for i in ids]
    assert None not in pieces
    return b"".join(piece or b"" for piece in pieces)


pieces = st.sampled_from(
    ["<s>", "</s>", "<unk>", "<|im_end|>", "<|fim|>", "<PRE>", "<<<<<<< SEARCH\n", "def ", "  ", "\n"]
)
texts = (st.text(max_size=60) | st.lists(pieces, max_size=10).map("".join)).filter(lambda text: METASPACE not in text)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=texts)
def test_spells_any_text_after_its_space(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    said = spelled(tokenizer, ids)
    assert said in (text.encode(), b" " + text.encode())
    assert set(ids).isdisjoint(tokenizer.special.values())


@pytest.mark.parametrize("text", ["def add(x):\n\treturn x", " two  spaces ", "héllo \U0001f600", "<s>", ""])
def test_ids_of_the_library(directory: Path, tokenizer: Tokenizer, text: str) -> None:
    library = sentencepiece.SentencePieceProcessor(model_file=str(directory / "tokenizer.model"))
    assert tokenizer.encode(text) == library.encode(text)


def test_special_and_added_tokens(tokenizer: Tokenizer) -> None:
    assert set(tokenizer.special) == {"<unk>", "<s>", "</s>", "<|im_end|>", "<|fim|>"}
    assert (tokenizer.bos_id, tokenizer.eos_ids, tokenizer.size) == (1, frozenset({2}), 482)
    assert tokenizer.token_bytes(481) == b"<<<<<<< SEARCH\n"
    assert 481 in tokenizer.encode("x<<<<<<< SEARCH\ny")
    assert spelled(tokenizer, tokenizer.encode("x<<<<<<< SEARCH\ny")) == b" x<<<<<<< SEARCH\ny"


def test_text_after_a_special_token_gets_no_space(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode_rendered("<s>def f<|im_end|>\n")
    assert (ids[0], spelled(tokenizer, ids[1 : ids.index(480)])) == (1, b"def f")
    assert spelled(tokenizer, ids[ids.index(480) + 1 :]) == b"\n"


def test_legacy_models_space_every_text(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(train(tmp_path))
    assert spelled(tokenizer, tokenizer.encode_rendered("<s>def")[1:]) == b" def"


def test_without_byte_fallback_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelDirectoryError, match="without byte fallback"):
        Tokenizer.load(train(tmp_path, byte_fallback=False))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"\x00garbage")
    with pytest.raises(ModelDirectoryError, match=r"tokenizer\.model: not a sentencepiece model"):
        Tokenizer.load(tmp_path)
