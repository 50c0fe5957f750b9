"""GGUF files, written and quantised by the gguf package, against checkpoints of the same numbers."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import sentencepiece
import torch
from gguf.quants import dequantize, quantize
from gguf_checkpoint import K_BYTES, random_k_blocks, write_gguf
from hypothesis import given
from hypothesis import strategies as st
from tiny import write_tiny_checkpoint

from dovetail.models.chat import ChatTemplate
from dovetail.models.errors import ModelDirectoryError
from dovetail.models.gguf.blocks import GROUPED, dequantised
from dovetail.models.gguf.describe import describe, gguf_of
from dovetail.models.gguf.file import GgufFile
from dovetail.models.gguf.formats import FORMATS
from dovetail.models.gguf.tokenizer import begins_with_bos, sentencepiece_model, write_tokenizer
from dovetail.models.headers import stored_weights
from dovetail.models.loader import load_model
from dovetail.models.tokenizer import Tokenizer

TOKENS = [7, 300, 41, 5, 9, 260, 33]
TEXT = "def add(a, b):\n    return a + b  # ñ 漢 \U0001f600\r\n\tx = 12345\n"


@pytest.mark.parametrize("kind", [each.name for each in FORMATS.values()])
def test_every_format_says_what_the_package_says(kind: str) -> None:
    generator = np.random.default_rng(1)
    number = gguf.GGMLQuantizationType[kind]
    if kind in K_BYTES:
        raw = random_k_blocks(kind, 5, 512, generator)
    else:
        raw = quantize(generator.standard_normal((5, 512), dtype=np.float32), number)
    wanted = dequantize(raw, number)
    own = next(each for each in FORMATS.values() if each.name == kind)
    blocks = torch.from_numpy(np.array(raw).view(np.uint8).reshape(5, -1, own.nbytes))
    found = dequantised(kind, blocks)
    torch.testing.assert_close(found.to(torch.float32), torch.from_numpy(np.array(wanted)), atol=1e-7, rtol=1e-6)
    if kind in GROUPED:
        assert int(GROUPED[kind](blocks).values.max()) <= 15


def described(path: Path) -> Path:
    directory = path.parent / f"{path.stem}-described"
    directory.mkdir()
    assert describe(path, directory) == path.stem
    return directory


def logits(model: Any, paged_runner: Callable[..., Any]) -> torch.Tensor:
    return paged_runner(model).step({0: TOKENS})[0]


@pytest.mark.parametrize(
    ("family", "kinds", "shape", "stored"),
    [
        ("qwen2", {"": "Q8_0"}, {"tie_word_embeddings": True}, "int8"),
        ("llama", {"": "Q4_0"}, {}, "int4"),
        ("qwen3", {"v_proj": "Q8_0", "embed": "Q4_0", "": "Q4_1"}, {"head_dim": 32}, "int4"),
        ("llama", {"": "BF16"}, {}, "bfloat16"),
        ("qwen2", {"": "F16"}, {}, "float32"),
        (
            "qwen2",
            {"v_proj": "Q6_K", "down": "Q6_K", "embed": "BF16", "lm_head": "Q6_K", "": "Q4_K"},
            {"hidden": 256, "layers": 1},
            "int4",
        ),
    ],
)
def test_the_model_is_the_same(
    tmp_path: Path,
    family: str,
    kinds: dict[str, str],
    shape: dict[str, Any],
    stored: str,
    paged_runner: Callable[..., Any],
) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", family, **shape)
    path = write_gguf(tmp_path / "model.gguf", checkpoint, kinds, tmp_path / "reference")
    directory = described(path)
    wanted = logits(load_model(tmp_path / "reference"), paged_runner)
    torch.testing.assert_close(logits(load_model(directory), paged_runner), wanted, atol=2e-4, rtol=1e-4)
    kept = load_model(directory, dtype="auto")
    assert kept.storage == stored
    likeness = torch.nn.functional.cosine_similarity(logits(kept, paged_runner), wanted).min()
    assert likeness > (0.9995 if stored != "int4" else 0.998 if "Q4_K" not in kinds.values() else 0.95), likeness
    whole = stored_weights(directory)
    assert whole.parameters == kept.parameters and gguf_of(directory) == path
    if stored == "int4":
        again = load_model(directory, quantize="int4")
        assert kept.weight_bytes < 1.5 * again.weight_bytes


def test_tokens_and_template_are_the_same(tmp_path: Path) -> None:
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint")
    more = {"general__license": ("apache-2.0", gguf.GGUFValueType.STRING)}
    directory = described(write_gguf(tmp_path / "model.gguf", checkpoint, {}, **more))
    before, after = Tokenizer.load(checkpoint), Tokenizer.load(directory)
    assert after.encode(TEXT) == before.encode(TEXT) and after.decode(after.encode(TEXT)) == TEXT
    assert (after.special, after.eos_ids, after.wants_bos) == (before.special, {before.special["<|im_end|>"]}, False)
    messages = [{"role": "user", "content": "hi"}]
    chats = [ChatTemplate.load(path, Tokenizer.load(path)) for path in (checkpoint, directory)]
    first, second = (chat.render(messages) for chat in chats if chat is not None)
    assert first == second
    assert "apache-2.0" in (directory / "README.md").read_text()


@pytest.mark.parametrize("pre", ["gpt-2", "qwen2", "llama-bpe", "smaug-bpe", "starcoder", "smollm", "tekken"])
def test_every_way_to_split_text_gives_it_back(small: bytes, tmp_path: Path, pre: str) -> None:
    (tmp_path / "model.gguf").write_bytes(small)
    with GgufFile(tmp_path / "model.gguf") as file:
        metadata = {**file.metadata, "tokenizer.ggml.pre": pre}
    write_tokenizer(metadata, tmp_path, tmp_path)
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT
    # Only gpt-2's words and digits stay together behind their space; all others cut digits off.
    digits = [tokenizer.token_bytes(token) for token in tokenizer.encode(" 12")]
    assert digits[0] == b" " or pre == "gpt-2"
    assert begins_with_bos(metadata) == (pre in ("llama-bpe", "tekken"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A sentencepiece tokenizer, and a directory with what a GGUF file would hold of it."""
    root = tmp_path_factory.mktemp("sentencepiece")
    (root / "corpus").write_text(TEXT * 20)
    sentencepiece.SentencePieceTrainer.Train(
        input=str(root / "corpus"),
        model_prefix=str(root / "tokenizer"),
        model_type="bpe",
        vocab_size=300,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    (root / "own").mkdir()
    (root / "tokenizer.model").rename(root / "own" / "tokenizer.model")
    own = sentencepiece.SentencePieceProcessor(model_file=str(root / "own" / "tokenizer.model"))
    ids = range(own.get_piece_size())
    kinds = [6 if own.is_byte(i) else 3 if own.is_control(i) else 2 if own.is_unknown(i) else 1 for i in ids]
    made = sentencepiece_model([own.id_to_piece(i) for i in ids], [own.get_score(i) for i in ids], kinds, prefix=True)
    (root / "made").mkdir()
    (root / "made" / "tokenizer.model").write_bytes(made)
    return root / "own", root / "made"


@given(text=st.text(max_size=60) | st.text(alphabet="def ad\n\t▁(<>)", max_size=60))
def test_sentencepiece_tokens_are_the_same(trained: tuple[Path, Path], text: str) -> None:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        return
    own, made = (Tokenizer.load(path) for path in trained)
    assert made.encode(text) == own.encode(text)
    assert [made.token_bytes(i) for i in range(made.size)] == [own.token_bytes(i) for i in range(own.size)]


def test_llama_3_turns_by_the_factors_in_the_file(tmp_path: Path, paged_runner: Callable[..., Any]) -> None:
    scaling = {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    checkpoint = write_tiny_checkpoint(tmp_path / "checkpoint", "llama", config={"rope_parameters": scaling})
    path = write_gguf(tmp_path / "plain.gguf", checkpoint, {}, tmp_path / "reference")
    reader = GgufFile(path)
    base, width = 500000.0, 8
    waves = [2 * np.pi * base ** (i / width) for i in range(width)]
    smooth = [min(1.0, max(0.0, (8192 / wave - 1) / 3)) for wave in waves]
    factors = np.array([1 / ((1 - each) / 8 + each) for each in smooth], np.float32)
    assert factors.max() == 8 and factors.min() == 1 and reader.metadata["general.architecture"] == "llama"
    for name, values in (("good", factors), ("bad", factors * 1.1)):
        with_factors(path, tmp_path / f"{name}.gguf", values)
    config = load_model(described(tmp_path / "good.gguf"))
    wanted = logits(load_model(tmp_path / "reference"), paged_runner)
    torch.testing.assert_close(logits(config, paged_runner), wanted, atol=2e-4, rtol=1e-4)
    with pytest.raises(ModelDirectoryError, match="not Llama 3's"):
        describe(tmp_path / "bad.gguf", tmp_path)


def with_factors(path: Path, target: Path, factors: Any) -> None:
    """The file with ``rope_freqs.weight`` added."""
    reader = gguf.GGUFReader(path)
    writer = gguf.GGUFWriter(target, "llama")
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind, inner = field.types[0], field.types[-1]
        writer.add_key_value(field.name, field.contents(), kind, inner if kind == gguf.GGUFValueType.ARRAY else None)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
    writer.add_tensor("rope_freqs.weight", factors)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    root = tmp_path_factory.mktemp("small")
    checkpoint = write_tiny_checkpoint(root / "checkpoint", layers=1, hidden=32, vocab_size=300)
    return write_gguf(root / "model.gguf", checkpoint, {"": "Q8_0"}).read_bytes()


@pytest.mark.parametrize("seed", range(8))
def test_damaged_files_are_refused_and_nothing_else(small: bytes, tmp_path: Path, seed: int) -> None:
    """Cut off, or with a few bytes of its header changed: described as something, or refused; never another exception."""
    chance = random.Random(seed)
    for index in range(8):
        broken = bytearray(small[: chance.randrange(len(small))] if chance.random() < 0.3 else small)
        for _ in range(chance.randrange(4)):
            if broken:
                broken[chance.randrange(min(len(broken), 20_000))] = chance.randrange(256)
        folder = tmp_path / str(index)
        folder.mkdir()
        (tmp_path / f"{index}.gguf").write_bytes(bytes(broken))
        with contextlib.suppress(ModelDirectoryError):
            describe(tmp_path / f"{index}.gguf", folder)


@pytest.mark.parametrize(
    ("key", "said"), [("block_count", "layers are announced"), ("attention.key_length", "cannot be")]
)
def test_sizes_that_no_model_has_are_refused(small: bytes, tmp_path: Path, key: str, said: str) -> None:
    head = f"qwen2.{key}".encode() + (4).to_bytes(4, "little")
    at = small.index(head) + len(head)
    (tmp_path / "model.gguf").write_bytes(small[:at] + (2**20 - 1).to_bytes(4, "little") + small[at + 4 :])
    with pytest.raises(ModelDirectoryError, match=said):
        describe(tmp_path / "model.gguf", tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((b"gpt2", b"bert"), "tokenizers of kind 'bert'"),
        ((b"gpt-2", b"gpt-9"), "pre-tokenizer 'gpt-9'"),
        ((b"\x05\x00\x00\x00\x00\x00\x00\x00qwen2", b"\x05\x00\x00\x00\x00\x00\x00\x00mamba"), "architecture 'mamba'"),
        ((b"GGUF", b"GGML"), "is no GGUF file"),
    ],
)
def test_other_kinds_are_refused_by_name(small: bytes, tmp_path: Path, change: tuple[bytes, bytes], said: str) -> None:
    (tmp_path / "model.gguf").write_bytes(small.replace(*change, 1))
    with pytest.raises(ModelDirectoryError, match=said):
        describe(tmp_path / "model.gguf", tmp_path)
