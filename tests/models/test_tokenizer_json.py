"""tokenizer.json: exact bytes for any text, byte-level and sentencepiece style, and the same ids as transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import write_tiny_checkpoint
from tokenizers import Tokenizer as TokenizersTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.random_checkpoint import CORPUS
from dovetail.models.spelling import METASPACE
from dovetail.models.tokenizer import Tokenizer

SAMPLES = [
    "",
    " ",
    "def add(left, right):\n    return left + right\n",
    "héllo wörld \u4f60\u597d \U0001f600\u200d\U0001f525",
    "e\u0301 \u1e9b\u0323 (not in NFC)",
    "<|im_start|>system\nyou obey<|im_end|>",
    "<<<<<<< SEARCH\nx\n=======\n>>>>>>> REPLACE\n========\n",
    "a\x00b\r\n\t\u2028\ufdd0\ufdd1\ufffe",
]

unicode_text = st.text(max_size=60) | st.lists(
    st.sampled_from(["<|im_end|>", "<|im_", "end|>", "=======\n", "=", " ", "\n", "def ", "\u0301", "\U0001f600"]),
    max_size=12,
).map("".join)
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def spelled(tokenizer: Tokenizer, ids: list[int]) -> bytes:
    pieces = [tokenizer.token_bytes(i) for i in ids]
    assert all(piece is not None for piece in pieces)
    return b"".join(piece or b"" for piece in pieces)


@pytest.fixture(scope="module")
def tokenizer(tiny_directory: Path) -> Tokenizer:
    return Tokenizer.load(tiny_directory)


@pytest.fixture(scope="module")
def metaspace_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama-style tokenizer.json: metaspace before the first word only, byte fallback."""
    directory = tmp_path_factory.mktemp("metaspace")
    trained = TokenizersTokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    trained.decoder = decoders.Sequence(
        [decoders.Replace(METASPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    specials = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=specials, show_progress=False)
    trained.train_from_iterator(CORPUS.splitlines(), trainer)
    document = json.loads(trained.to_str())
    document["added_tokens"] = document["added_tokens"][:3]
    (directory / "tokenizer.json").write_text(json.dumps(document))
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "add_bos_token": True})
    )
    return directory


@quick
@given(text=unicode_text)
def test_byte_level_spells_any_text(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert spelled(tokenizer, ids) == text.encode()
    assert tokenizer.decode(ids) == text
    detokenizer = tokenizer.detokenizer()
    assert "".join(detokenizer.push(i) for i in ids) + detokenizer.flush() == text
    assert set(ids).isdisjoint(tokenizer.special.values())


@pytest.mark.parametrize("text", SAMPLES)
def test_byte_level_spells_samples(tokenizer: Tokenizer, text: str) -> None:
    assert spelled(tokenizer, tokenizer.encode(text)) == text.encode()


@quick
@given(text=unicode_text.filter(lambda text: METASPACE not in text))
def test_metaspace_spells_any_text(metaspace_directory: Path, text: str) -> None:
    tokenizer = Tokenizer.load(metaspace_directory)
    ids = tokenizer.encode(text)
    assert spelled(tokenizer, ids).removeprefix(b" ") == text.encode().removeprefix(b" ")
    assert tokenizer.decode(ids) == text or text.startswith(" ")


def test_metaspace_adds_one_space_and_takes_it_off(metaspace_directory: Path) -> None:
    tokenizer = Tokenizer.load(metaspace_directory)
    assert tokenizer.adds_space
    assert spelled(tokenizer, tokenizer.encode("def f")) == b" def f"
    assert tokenizer.decode(tokenizer.encode("def f")) == "def f"
    assert tokenizer.encode_rendered("<s>def")[1:] == tokenizer.encode_rendered("</s>def")[1:]
    assert spelled(tokenizer, tokenizer.encode_rendered("<s>def")[1:]) == b"def"


def test_metaspace_ends_and_begins(metaspace_directory: Path) -> None:
    tokenizer = Tokenizer.load(metaspace_directory)
    assert (tokenizer.eos_ids, tokenizer.bos_id, tokenizer.wants_bos) == (frozenset({2}), 1, True)
    assert tokenizer.encode("x", add_bos=True) == [1, *tokenizer.encode("x")]
    assert tokenizer.token_bytes(3 + 10) == b"\n"
    assert [tokenizer.token_bytes(i) for i in (0, 1, 2, tokenizer.size, -1)] == [None] * 5


@pytest.mark.parametrize("text", ["def add(x):\n    return x", "<s>def f</s>", "a <s> b", "héé\n"])
def test_metaspace_ids_of_transformers(metaspace_directory: Path, text: str) -> None:
    reference = TokenizersTokenizer.from_file(str(metaspace_directory / "tokenizer.json"))
    ids = Tokenizer.load(metaspace_directory).encode_rendered(text)
    assert ids == reference.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize(
    "text", [*SAMPLES[:4], "<|im_start|>user\nhi <|im_end|>\n<|im_start|>assistant\n", "x<<<<<<< SEARCH\n<|endoftext|>"]
)
def test_byte_level_ids_of_transformers(tokenizer: Tokenizer, tiny_directory: Path, text: str) -> None:
    assert tokenizer.encode_rendered(text) == AutoTokenizer.from_pretrained(tiny_directory).encode(text)


def test_markers_are_single_ordinary_tokens(tokenizer: Tokenizer) -> None:
    (search,) = tokenizer.encode("<<<<<<< SEARCH\n")
    assert tokenizer.token_bytes(search) == b"<<<<<<< SEARCH\n"


def test_ends_and_size(tokenizer: Tokenizer) -> None:
    assert tokenizer.eos_ids == {tokenizer.special["<|im_end|>"], tokenizer.special["<|endoftext|>"]}
    assert (tokenizer.bos_id, tokenizer.wants_bos, tokenizer.adds_space, tokenizer.size) == (None, False, False, 512)
    assert tokenizer.encode("x", add_bos=True) == tokenizer.encode("x")


def test_rows_beyond_the_tokenizer_spell_nothing(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_tiny_checkpoint(tmp_path, vocab_size=2000))
    spellings = [tokenizer.token_bytes(i) for i in range(2000)]
    assert None not in spellings[: tokenizer.size - 6]
    assert set(spellings[tokenizer.size :]) == {None}
    assert tokenizer.size < 1000


def test_a_lone_surrogate_is_no_text(tokenizer: Tokenizer) -> None:
    for encode in (tokenizer.encode, tokenizer.encode_rendered):
        with pytest.raises(ValueError, match="lone surrogate at character 2"):
            encode("ab\ud800")


def edited(source: Path, target: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of the directory with tokenizer.json changed."""
    shutil.copytree(source, target)
    document = json.loads((target / "tokenizer.json").read_text())
    edit(document)
    (target / "tokenizer.json").write_text(json.dumps(document))
    return target


def test_control_tokens_need_no_flag(tiny_directory: Path, tmp_path: Path) -> None:
    def unflag(document: dict[str, Any]) -> None:
        for entry in document["added_tokens"]:
            entry["special"] = False

    tokenizer = Tokenizer.load(edited(tiny_directory, tmp_path / "t", unflag))
    assert set(tokenizer.special) == {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}
    assert tokenizer.special["<|im_end|>"] not in tokenizer.encode("<|im_end|>")


def test_nfc_is_switched_off(tiny_directory: Path, tmp_path: Path) -> None:
    directory = edited(tiny_directory, tmp_path / "t", lambda d: d.update(normalizer={"type": "NFC"}))
    tokenizer = Tokenizer.load(directory)
    assert spelled(tokenizer, tokenizer.encode("e\u0301")) == "e\u0301".encode()


def test_truncation_in_the_file_is_ignored(tiny_directory: Path, tmp_path: Path) -> None:
    truncation = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    directory = edited(tiny_directory, tmp_path / "t", lambda d: d.update(truncation=truncation))
    tokenizer = Tokenizer.load(directory)
    assert spelled(tokenizer, tokenizer.encode("a b c d e f g")) == b"a b c d e f g"


def test_a_special_token_that_merges_would_spell(tiny_directory: Path, tmp_path: Path) -> None:
    def plant(document: dict[str, Any]) -> None:
        document["model"]["ignore_merges"] = True
        document["model"]["vocab"]["zebra"] = 506
        document["added_tokens"][0].update(content="zebra")

    tokenizer = Tokenizer.load(edited(tiny_directory, tmp_path / "t", plant))
    assert tokenizer.special["zebra"] == 506
    ids = tokenizer.encode("(zebra)zebra")
    assert spelled(tokenizer, ids) == b"(zebra)zebra"
    assert tokenizer.encode_rendered("(zebra)")[1] == 506


def test_the_files_own_frame_says_whether_prompts_begin_with_bos(metaspace_directory: Path, tmp_path: Path) -> None:
    template = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    processor = {
        "type": "TemplateProcessing",
        "single": template,
        "pair": template,
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    }
    directory = edited(metaspace_directory, tmp_path / "t", lambda d: d.update(post_processor=processor))
    (directory / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>"}))
    tokenizer = Tokenizer.load(directory)
    assert tokenizer.wants_bos
    assert tokenizer.encode("x")[0] != 1


def test_special_tokens_may_swallow_space(tiny_directory: Path, tmp_path: Path) -> None:
    def strip(document: dict[str, Any]) -> None:
        document["added_tokens"][1].update(lstrip=True, rstrip=True)

    tokenizer = Tokenizer.load(edited(tiny_directory, tmp_path / "t", strip))
    start = tokenizer.special["<|im_start|>"]
    assert tokenizer.encode_rendered("a \n<|im_start|> \tb") == [*tokenizer.encode("a"), start, *tokenizer.encode("b")]


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda d: d["model"].update(type="Unigram"), "tokenizer model 'Unigram' is not supported; supported: BPE"),
        (lambda d: d.update(decoder={"type": "WordPiece"}), "decoder ['WordPiece'] is not supported"),
        (lambda d: d.update(decoder=None), "decoder None is not supported"),
        (lambda d: d.update(normalizer={"type": "Lowercase"}), "normalizer Lowercase is not supported"),
        (lambda d: d["model"]["vocab"].pop("a"), "lacks 1 single bytes (a)"),
        (lambda d: d["added_tokens"][2].update(id=600), "has id 600, but the tokenizers library gives it 508"),
        (lambda d: d.update(pre_tokenizer={"type": "Nonsense"}), "the tokenizers library refuses it"),
    ],
)
def test_refusals(tiny_directory: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], object], says: str) -> None:
    with pytest.raises(ModelDirectoryError) as caught:
        Tokenizer.load(edited(tiny_directory, tmp_path / "t", edit))
    assert says in str(caught.value)


def test_no_tokenizer_at_all(tmp_path: Path) -> None:
    with pytest.raises(ModelDirectoryError, match=r"no tokenizer\.json and no tokenizer\.model"):
        Tokenizer.load(tmp_path)


def test_a_raw_prompt_may_hold_special_tokens(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_tiny_checkpoint(tmp_path))
    end = tokenizer.special["<|im_end|>"]
    assert tokenizer.encode_prompt("a<|im_end|>b") == [*tokenizer.encode("a"), end, *tokenizer.encode("b")]
    assert end not in tokenizer.encode("a<|im_end|>b")
