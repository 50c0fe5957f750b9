"""What sentence-transformers directories say of pooling, and hidden states against transformers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import write_tiny_checkpoint
from tokenizers import Tokenizer as TokenizersTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoModel

from dovetail.models.embedding_config import EmbeddingConfig
from dovetail.models.errors import ModelDirectoryError
from dovetail.models.loader import load_model
from dovetail.models.pooling import Pooled, without_head
from dovetail.models.tokenizer import Tokenizer

MODULES = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]


def declare(directory: Path, pooling: object, modules: list[tuple[str, str]] = MODULES) -> Path:
    listed = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in modules]
    (directory / "modules.json").write_text(json.dumps(listed))
    (directory / "1_Pooling").mkdir(exist_ok=True)
    (directory / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return directory


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "word_embedding_dimension": 64}, "mean"),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_lasttoken": True, "include_prompt": True}, "last"),
        ({"pooling_mode": "lasttoken", "embedding_dimension": 64}, "last"),
        ({"pooling_mode": ["mean"]}, "mean"),
    ],
)
def test_what_the_directory_says(tmp_path: Path, config: object, pooling: str) -> None:
    assert EmbeddingConfig.load(tmp_path) is None
    assert EmbeddingConfig.load(declare(tmp_path, config)) == EmbeddingConfig(pooling, normalize=True)
    assert EmbeddingConfig.load(declare(tmp_path, config, MODULES[:2])) == EmbeddingConfig(pooling, normalize=False)


@pytest.mark.parametrize(
    ("config", "modules", "said"),
    [
        ({"pooling_mode_cls_token": True}, MODULES, "pooling by pooling_mode_cls_token is not supported"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_lasttoken": True}, MODULES, "pooling by"),
        ({}, MODULES, "pooling by nothing"),
        ({"pooling_mode": "mean"}, [*MODULES, ("3_Dense", "Dense")], "Dense is not supported"),
        ({"pooling_mode": "mean"}, MODULES[:1], "no Pooling module"),
    ],
)
def test_what_is_not_supported_is_named(
    tmp_path: Path, config: object, modules: list[tuple[str, str]], said: str
) -> None:
    with pytest.raises(ModelDirectoryError, match=said):
        EmbeddingConfig.load(declare(tmp_path, config, modules))


def headless(directory: Path, architecture: str) -> Path:
    """The checkpoint as embedding models are saved: the inner model alone."""
    weights = load_file(directory / "model.safetensors")
    inner = {name.removeprefix("model."): each for name, each in weights.items() if name != "lm_head.weight"}
    save_file(inner, directory / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "architectures": [architecture]}))
    return directory


@pytest.mark.parametrize(
    ("family", "architecture"), [("qwen3", "Qwen3ForCausalLM"), ("mistral", "MistralModel"), ("qwen2", None)]
)
def test_hidden_states_agree_with_transformers(
    tmp_path: Path, family: str, architecture: str | None, paged_runner: Callable[..., Any]
) -> None:
    directory = write_tiny_checkpoint(tmp_path, family)
    if architecture is not None:
        headless(directory, architecture)
    tokens = [7, 300, 41, 5, 9, 260, 33]
    with torch.no_grad():
        reference = AutoModel.from_pretrained(directory, dtype=torch.float32).eval()
        wanted = reference(torch.tensor([tokens])).last_hidden_state[0]
    model = load_model(directory)
    runner = paged_runner(model)
    runner.model = type("Headless", (), {"decoder": without_head(model.decoder)})
    states = torch.cat([runner.step({0: tokens[:3]})[0], runner.step({0: tokens[3:]})[0]])
    torch.testing.assert_close(states, wanted, atol=1e-4, rtol=1e-4)
    mean, last = Pooled("mean"), Pooled("last")
    for pooled in (mean, last):
        pooled.add(0, states[:5])  # computed, taken away, and computed again
        pooled.add(0, states[:3])
        pooled.add(3, states[3:])
    torch.testing.assert_close(mean.vector, wanted.mean(0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(last.vector, wanted[-1], atol=1e-4, rtol=1e-4)


def test_texts_are_framed_as_the_tokenizer_says(tmp_path: Path) -> None:
    directory = write_tiny_checkpoint(tmp_path)
    plain = Tokenizer.load(directory)
    assert plain.encode_whole("def a") == plain.encode("def a")
    end, start = plain.special["<|endoftext|>"], plain.special["<|im_start|>"]
    file = TokenizersTokenizer.from_file(str(directory / "tokenizer.json"))
    file.post_processor = TemplateProcessing(
        single="<|im_start|> $A <|endoftext|>", special_tokens=[("<|im_start|>", start), ("<|endoftext|>", end)]
    )
    file.save(str(directory / "tokenizer.json"))
    config = json.loads((directory / "tokenizer_config.json").read_text())
    del config["add_bos_token"]
    (directory / "tokenizer_config.json").write_text(json.dumps({**config, "bos_token": "<|im_start|>"}))
    framed = Tokenizer.load(directory)
    assert framed.encode_whole("def a") == file.encode("def a").ids == [start, *plain.encode("def a"), end]
    hostile = framed.encode_whole("<|endoftext|>")
    assert hostile.count(end) == 1, "a special token's text is text"


def test_mistrals_end_is_added_where_the_configuration_says_so(tmp_path: Path) -> None:
    directory = write_tiny_checkpoint(tmp_path)
    config = json.loads((directory / "tokenizer_config.json").read_text())
    (directory / "tokenizer_config.json").write_text(json.dumps({**config, "add_eos_token": True}))
    tokenizer = Tokenizer.load(directory)
    assert tokenizer.encode_whole("a") == [*tokenizer.encode("a"), tokenizer.special["<|im_end|>"]]
