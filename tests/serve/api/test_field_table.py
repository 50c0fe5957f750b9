"""The table of request fields against the official packages' own types: a field that it does not know fails."""

from __future__ import annotations

import typing

import pytest
from anthropic.types import message_count_tokens_params as count_messages
from anthropic.types import message_create_params as messages
from anthropic.types.beta import message_count_tokens_params as beta_count_messages
from anthropic.types.beta import message_create_params as beta_messages
from openai.types import batch_create_params as batches
from openai.types import completion_create_params as completions
from openai.types import embedding_create_params as embeddings
from openai.types import file_create_params as files
from openai.types import moderation_create_params as moderations
from openai.types.chat import completion_create_params as chat
from openai.types.conversations import conversation_create_params as conversations
from openai.types.responses import input_token_count_params as count
from openai.types.responses import response_compact_params as compact
from openai.types.responses import response_create_params as responses

from dovetail.serve.api.field_table import ENDPOINTS, fields_of
from dovetail.serve.govern.declines.conduct import Conduct
from dovetail.serve.govern.declines.document import read_acceptable_use

TYPES = [
    ("/v1/chat/completions", chat.CompletionCreateParamsStreaming),
    ("/v1/chat/completions", chat.CompletionCreateParamsNonStreaming),
    ("/v1/completions", completions.CompletionCreateParamsStreaming),
    ("/v1/responses", responses.ResponseCreateParamsStreaming),
    ("/v1/responses", responses.ResponseCreateParamsNonStreaming),
    ("/v1/responses/input_tokens", count.InputTokenCountParams),
    ("/v1/responses/compact", compact.ResponseCompactParams),
    ("/v1/conversations", conversations.ConversationCreateParams),
    ("/v1/embeddings", embeddings.EmbeddingCreateParams),
    ("/v1/moderations", moderations.ModerationCreateParams),
    ("/v1/files", files.FileCreateParams),
    ("/v1/batches", batches.BatchCreateParams),
    ("/v1/messages", messages.MessageCreateParamsStreaming),
    ("/v1/messages", beta_messages.MessageCreateParamsNonStreaming),
    ("/v1/messages/count_tokens", count_messages.MessageCountTokensParams),
    ("/v1/messages/count_tokens", beta_count_messages.MessageCountTokensParams),
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
    "/v1/responses/input_tokens": {"input": "hi"},
    "/v1/responses/compact": {"input": "hi"},
    "/v1/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
    "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": "hi"}]},
}
INSIDE = [
    ("/v1/chat/completions", {"stream_options": {"include_obfuscation": False}}, "stream_options.include_obfuscation"),
    ("/v1/responses", {"reasoning": {"context": "all_turns", "mode": None}}, "reasoning.context"),
    ("/v1/responses", {"text": {"format": {"type": "text", "odd": 1}}}, "text.format.odd"),
    ("/v1/responses/input_tokens", {"reasoning": {"mode": "pro"}}, "reasoning.mode"),
    ("/v1/messages", {"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking.budget_tokens"),
    ("/v1/messages", {"output_config": {"task_budget": {"type": "tokens"}}}, "output_config.task_budget"),
]


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


@pytest.mark.parametrize(
    ("endpoint", "fields", "named"), INSIDE, ids=lambda value: value if isinstance(value, str) else ""
)
async def test_what_changes_nothing_inside_an_object_is_named_too(api, endpoint, fields, named):
    answer = await api.post(endpoint, {**BODIES[endpoint], **fields})
    assert answer.status_code == 200, answer.text
    assert named in answer.headers["x-dovetail-ignored"].split(", ")


async def test_small_endpoints_name_what_they_do_not_know(make_api):
    api = make_api(conduct=Conduct(read_acceptable_use()))
    odd = {"odd": 1}
    talk = await api.post("/v1/conversations", {"metadata": {"a": "b"}, **odd})
    items = [{"role": "user", "content": "hi"}]
    uploaded = await api.client.post("/v1/files", files={"file": ("a", "{}")}, data={"purpose": "batch", **odd})
    answers = [
        talk,
        await api.post(f"/v1/conversations/{talk.json()['id']}", odd),
        await api.post(f"/v1/conversations/{talk.json()['id']}/items", {"items": items, **odd}),
        await api.post("/v1/moderations", {"input": "hi", **odd}),
        uploaded,
    ]
    assert [(each.status_code, each.headers["x-dovetail-ignored"]) for each in answers] == [(200, "odd")] * 5


@pytest.mark.parametrize("field", ["stream", "background"])
async def test_a_compaction_is_answered_whole(api, field):
    answer = await api.post("/v1/responses/compact", {"input": "hi", field: True})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
