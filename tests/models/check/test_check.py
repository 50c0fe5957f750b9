"""``dovetail check`` on the embedded model, and on copies of it and of tiny models that are wrong in one way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny import write_tiny_checkpoint
from typer.testing import CliRunner

from dovetail.models.check import logits
from dovetail.models.check import run as check_run
from dovetail.models.check.logits import compare
from dovetail.models.check.text import check_template, check_tokens
from dovetail.models.embedded import WEIGHTS
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.cli import app


def check(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["check", *arguments])
    return result.exit_code, result.output


def test_the_embedded_model_agrees() -> None:
    code, said = check(str(WEIGHTS))
    assert code == 0, said
    assert [line.split()[:2] for line in said.splitlines()[:4]] == [
        [part, "same"] for part in ("family", "tokens", "template", "logits")
    ]
    assert said.splitlines()[-1] == f"verdict: {WEIGHTS} agrees with transformers"


def test_logits_that_differ() -> None:
    torch.manual_seed(0)
    theirs = 3 * torch.randn(50, 200)
    assert compare(theirs + 1e-5 * torch.randn(50, 200), theirs, torch.float32).agrees
    assert not compare(theirs + 0.5 * torch.randn(50, 200), theirs, torch.float32).agrees
    assert not compare(theirs.roll(1, 0), theirs, torch.bfloat16).agrees
    assert not compare(theirs * float("nan"), theirs, torch.bfloat16).agrees


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def test_another_computation_is_found(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers reads the directory with another rotary base than we do."""
    other = shutil.copytree(directory, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["rope_parameters"]["rope_theta"] = 30.0
    (other / "config.json").write_text(json.dumps(config))
    real = logits.their_logits
    monkeypatch.setattr(logits, "their_logits", lambda path, *rest: real(other, *rest))
    code, said = check(str(directory))
    assert code == 1
    assert "tokens    same" in said
    assert "differs from transformers in logits" in said


def test_another_tokenizer_is_found(directory: Path) -> None:
    tokenizer = Tokenizer.load(directory)

    class Other:
        chat_template = "x"

        def encode(self, text: str, add_special_tokens: bool) -> list[int]:
            return [*tokenizer.encode(text), 7]

        def apply_chat_template(self, conversation: object, tokenize: bool, add_generation_prompt: bool) -> str:
            return "hello"

    finding = check_tokens(tokenizer, Other())
    assert finding.agrees is False
    assert "where transformers has [7]" in finding.said
    finding = check_template(directory, tokenizer, Other())
    assert finding.agrees is False
    assert "where transformers has 'hello'" in finding.said


def test_what_cannot_be_checked(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = check(str(tmp_path / "nothing"))
    assert code == 2
    assert "not a directory" in said
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["MambaForCausalLM"]}))
    code, said = check(str(tmp_path))
    assert code == 2
    assert "serve --engine vllm" in said
    monkeypatch.setattr(check_run.importlib.util, "find_spec", lambda name: None)
    code, said = check(str(directory))
    assert code == 2
    assert "pip install" in said
