"""/tokenize and /detokenize as llama.cpp's and vLLM's clients call them, on made-up and on real tokenizers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import served_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail.models.embedded import WEIGHTS
from dovetail.models.tokenizer import Tokenizer

TOKENIZER = Tokenizer.load(WEIGHTS)


@pytest.fixture
def real(make_api):
    return make_api(served=replace(served_model(), codec=TOKENIZER))


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"content": "ab"}, [97, 98]),
        ({"content": "ab", "add_special": True}, [256, 97, 98]),
        ({"content": "ab", "add_special": True, "parse_special": False}, [256, 97, 98]),
        ({"prompt": "ab"}, [256, 97, 98]),
        ({"prompt": "ab", "add_special_tokens": False}, [97, 98]),
        ({"messages": [{"role": "user", "content": "a"}]}, list(b"<user>a\n")),
        ({"content": ""}, []),
    ],
)
async def test_tokenize(api, body, tokens):
    answer = (await api.post("/tokenize", body)).json()
    assert answer == {"tokens": tokens, "count": len(tokens), "max_model_len": 4096}


async def test_pieces(api):
    answer = (await api.post("/tokenize", {"content": "aé", "with_pieces": True, "add_special": True})).json()
    pieces = [(token["id"], token["piece"]) for token in answer["tokens"]]
    assert pieces == [(256, "<s>"), (97, "a"), (195, [195]), (169, [169])]
    answer = (await api.post("/tokenize", {"prompt": "a", "return_token_strs": True})).json()
    assert answer["token_strs"] == ["<s>", "a"]


async def test_special_tokens_are_read_and_written(real):
    text = "<|fim_prefix|>def<|fim_suffix|>"
    ids = (await real.post("/tokenize", {"content": text})).json()["tokens"]
    assert ids == [TOKENIZER.special["<|fim_prefix|>"], *TOKENIZER.encode("def"), TOKENIZER.special["<|fim_suffix|>"]]
    assert (await real.post("/detokenize", {"tokens": ids})).json() == {"content": text, "prompt": text}
    plain = (await real.post("/tokenize", {"content": text, "parse_special": False})).json()["tokens"]
    assert plain == TOKENIZER.encode(text)


@given(st.text(max_size=40))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_text_comes_back(real, text):
    if any("\ud800" <= char <= "\udfff" for char in text):
        return
    ids = (await real.post("/tokenize", {"content": text})).json()["tokens"]
    assert (await real.post("/detokenize", {"tokens": ids})).json()["content"] == text


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "content"),
        ("/tokenize", {"content": "a", "prompt": "b"}, "content"),
        ("/tokenize", {"messages": [{"role": "nobody"}]}, "messages[0].role"),
        ("/tokenize", {"content": ["a"]}, "content"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": [258]}, "tokens[0]"),
        ("/detokenize", {"tokens": [-1]}, "tokens[0]"),
        ("/v1/embeddings", {"input": "a"}, "model"),
    ],
)
async def test_refused_by_name(api, path, body, param):
    answer = await api.post(path, body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_another_model_is_not_found(api):
    for path in ("/tokenize", "/detokenize", "/v1/embeddings"):
        answer = await api.post(path, {"model": "gpt-4", "content": "a", "tokens": []})
        assert answer.status_code == 404
