"""/v1/embeddings over a scripted engine: forms in and out, what is refused, and models that make nothing else."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import openai
import pytest

from dovetail.serve.api.served import Embedding
from dovetail.serve.types import FinishEvent, Request, Usage

URL = "/v1/embeddings"


def vector_of(request: Request):
    """First the sum of the ids, then 2, 2, 1."""
    numbers = np.array([sum(request.prompt), 2, 2, 1], "<f4")
    usage = Usage(prompt_tokens=len(request.prompt))
    yield FinishEvent(request_id="", reason="stop", usage=usage, vector=numbers.tobytes())


@pytest.fixture
def embedding_api(make_api, served, codec) -> Callable[..., object]:
    def make(*, normalize: bool = False, generates: bool = False):
        own = Embedding(pooling="mean", normalize=normalize, size=4, encode=lambda text: [256, *codec.encode(text)])
        return make_api(vector_of, served=replace(served, embedding=own, generates=generates))

    return make


@pytest.mark.parametrize(
    ("given", "prompts"),
    [
        ("ab", [(256, 97, 98)]),
        (["a", "b"], [(256, 97), (256, 98)]),
        ([1, 2, 3], [(1, 2, 3)]),
        ([[1], [2, 3]], [(1,), (2, 3)]),
    ],
)
async def test_every_form_of_input(embedding_api, given, prompts):
    api = embedding_api()
    body = (await api.post(URL, {"model": "tiny", "input": given})).json()
    assert [request.prompt for request in api.engine.requests] == prompts
    assert {request.pooling for request in api.engine.requests} == {"mean"}
    assert [each["index"] for each in body["data"]] == list(range(len(prompts)))
    assert [each["embedding"] for each in body["data"]] == [[sum(prompt), 2, 2, 1] for prompt in prompts]
    count = sum(len(prompt) for prompt in prompts)
    assert body["usage"] == {"prompt_tokens": count, "total_tokens": count}


async def test_base64_dimensions_and_length_one(embedding_api):
    api = embedding_api(normalize=True)
    body = (await api.post(URL, {"input": [1], "encoding_format": "base64"})).json()
    numbers = np.frombuffer(base64.b64decode(body["data"][0]["embedding"]), "<f4")
    np.testing.assert_allclose(numbers, np.array([1, 2, 2, 1]) / np.sqrt(10), rtol=1e-6)
    body = (await api.post(URL, {"input": [1], "dimensions": 3})).json()
    np.testing.assert_allclose(body["data"][0]["embedding"], np.array([1, 2, 2]) / 3, rtol=1e-6)
    plain = embedding_api()
    body = (await plain.post(URL, {"input": [1], "dimensions": 3, "user": "u"})).json()
    assert body["data"][0]["embedding"] == [1, 2, 2]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": [258]}, "input"),
        ({"input": [-1]}, None),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "a" * 5000}, "input"),
        ({"input": "a", "dimensions": 5}, "dimensions"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({}, "input"),
    ],
)
async def test_refused_by_name(embedding_api, more, param):
    api = embedding_api()
    answer = await api.post(URL, {"model": "tiny", **more})
    assert answer.status_code == 400
    assert param is None or answer.json()["error"]["param"] == param
    assert not api.engine.requests


async def test_models_for_something_else_are_refused(api, embedding_api):
    answer = await api.post(URL, {"model": "tiny", "input": "a"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_model")
    only = embedding_api()
    chat = {"messages": [{"role": "user", "content": "hi"}]}
    for path, body in (("/v1/completions", {"prompt": "a"}), ("/v1/chat/completions", chat)):
        answer = await only.post(path, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_model"), path
    [entry] = (await only.client.get("/v1/models")).json()["data"]
    assert (entry["capabilities"], entry["embedding_length"]) == (["embeddings"], 4)
    both = embedding_api(generates=True)
    [entry] = (await both.client.get("/v1/models")).json()["data"]
    assert "completions" in entry["capabilities"] and "embeddings" in entry["capabilities"]


async def test_the_official_client(make_live, served, codec):
    own = Embedding(pooling="last", normalize=False, size=4, encode=codec.encode)
    live = await make_live(vector_of, served=replace(served, embedding=own, generates=False))
    async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none") as client:
        answer = await client.embeddings.create(model="tiny", input=["a", "b"])
    assert [each.embedding for each in answer.data] == [[97, 2, 2, 1], [98, 2, 2, 1]]
    assert answer.usage.total_tokens == 2
