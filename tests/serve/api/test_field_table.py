"""The table of request fields against the official packages' own types: a field that it does not know fails."""

from __future__ import annotations

import typing

import pytest
from anthropic.types import message_create_params as messages
from anthropic.types.beta import message_create_params as beta_messages
from openai.types import batch_create_params as batches
from openai.types import completion_create_params as completions
from openai.types import embedding_create_params as embeddings
from openai.types.chat import completion_create_params as chat
from openai.types.responses import response_create_params as responses

from dovetail.serve.api.field_table import ENDPOINTS, fields_of

TYPES = [
    ("/v1/chat/completions", chat.CompletionCreateParamsStreaming),
    ("/v1/chat/completions", chat.CompletionCreateParamsNonStreaming),
    ("/v1/completions", completions.CompletionCreateParamsStreaming),
    ("/v1/responses", responses.ResponseCreateParamsStreaming),
    ("/v1/responses", responses.ResponseCreateParamsNonStreaming),
    ("/v1/embeddings", embeddings.EmbeddingCreateParams),
    ("/v1/batches", batches.BatchCreateParams),
    ("/v1/messages", messages.MessageCreateParamsStreaming),
    ("/v1/messages", beta_messages.MessageCreateParamsNonStreaming),
]


@pytest.mark.parametrize(("endpoint", "official"), TYPES, ids=lambda value: getattr(value, "__name__", value))
def test_every_official_field_is_in_the_table(endpoint, official):
    known = {field.name for field in fields_of(endpoint)}
    assert set(typing.get_type_hints(official)) <= known


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_no_field_is_in_the_table_twice(endpoint):
    names = [field.name for field in fields_of(endpoint)]
    assert len(names) == len(set(names))


BODIES = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/completions": {"prompt": "hi"},
    "/v1/responses": {"input": "hi"},
    "/v1/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
}


@pytest.mark.parametrize("endpoint", BODIES)
async def test_what_the_table_says_is_what_happens(api, endpoint):
    for field in fields_of(endpoint):
        if field.handling == "served":
            continue
        answer = await api.post(endpoint, {**BODIES[endpoint], field.name: {"odd": "value"}})
        if field.handling == "refused":
            assert answer.status_code == 400, field
            assert answer.json()["error"]["message"].startswith(f"{field.name} is not available")
        else:
            assert answer.status_code == 200, field
            assert field.name in answer.headers["x-dovetail-ignored"].split(", ")
