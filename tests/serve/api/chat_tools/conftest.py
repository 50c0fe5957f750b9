"""Makes applications whose model, with a real tokenizer and dialect, says a given text."""

from __future__ import annotations

from pathlib import Path

import pytest
from tool_model import pieces, tool_model

from dovetail.models.random_checkpoint import write_random_checkpoint
from dovetail.serve.engine.fake import reply


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    write_random_checkpoint(
        path, family="qwen2", seed=0, vocab_size=512, hidden=64, layers=1, max_position_embeddings=64
    )
    return path


@pytest.fixture
def model(directory):
    return tool_model(directory)


@pytest.fixture
def speaking(make_api, model):
    """An application whose model says a text, token by token."""

    def make(text: str = "hi", **settings: object):
        return make_api(lambda request: reply(request, pieces(text), model.codec.encode), served=model, **settings)

    return make
