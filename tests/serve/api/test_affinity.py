"""The word by which a proxy keeps a conversation on one server: the same for all turns, another for others, the client's own where it sent one."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import CODEC
from hypothesis import given
from hypothesis import strategies as st

from dovetail.serve.api.affinity import FIRST_TOKENS, HEADER, Affinity, sent_word

CHAT, RESPONSES, MESSAGES, PLAIN = "/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/completions"
FIRST = [{"role": "system", "content": "You edit."}, {"role": "user", "content": "Rename add."}]
LATER = [*FIRST, {"role": "assistant", "content": "Done."}, {"role": "user", "content": "Now the tests."}]
texts = st.text(max_size=20)


async def word(api: Any, path: str, body: dict[str, Any], **headers: str) -> str:
    answer = await api.client.post(path, json={"model": "tiny", **body}, headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.headers[HEADER])


@pytest.mark.parametrize("stream", [False, True])
async def test_all_turns_of_a_chat_have_one_word(api, stream) -> None:
    first = await word(api, CHAT, {"messages": FIRST, "stream": stream})
    assert first == await word(api, CHAT, {"messages": LATER, "temperature": 0.5})
    other = [FIRST[0], {"role": "user", "content": "Rename sub."}]
    assert first != await word(api, CHAT, {"messages": other})
    assert len(first) == 32 and int(first, 16)


async def test_the_clients_key_names_a_conversation(api) -> None:
    words = {await word(api, CHAT, {"messages": each, "prompt_cache_key": "k"}) for each in (FIRST, LATER[1:])}
    words.add(await word(api, RESPONSES, {"input": "something else", "prompt_cache_key": "k"}))
    assert len(words) == 1
    assert words != {await word(api, CHAT, {"messages": FIRST, "prompt_cache_key": "l"})}


async def test_stored_responses_go_on_under_their_word(api) -> None:
    answer = await api.client.post(RESPONSES, json={"input": "Rename add."})
    body = {"input": "Now the tests.", "previous_response_id": answer.json()["id"]}
    assert answer.headers[HEADER] == await word(api, RESPONSES, body)


async def test_messages_and_prompts(api) -> None:
    asked = {"max_tokens": 20, "messages": [{"role": "user", "content": "a"}]}
    later = [*asked["messages"], {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    assert await word(api, MESSAGES, asked) == await word(api, MESSAGES, {**asked, "messages": later})
    long = "x" * FIRST_TOKENS
    assert await word(api, PLAIN, {"prompt": long + "a"}) == await word(api, PLAIN, {"prompt": long + "b"})
    assert await word(api, PLAIN, {"prompt": "a"}) != await word(api, PLAIN, {"prompt": "b"})


async def test_the_clients_own_word_comes_back(api) -> None:
    assert await word(api, CHAT, {"messages": FIRST}, **{HEADER: "session-4711"}) == "session-4711"
    made = await word(api, CHAT, {"messages": FIRST})
    assert await word(api, CHAT, {"messages": FIRST}, **{HEADER: "no word"}) == made


async def test_only_what_is_generated_has_one(api) -> None:
    assert HEADER not in (await api.client.get("/v1/models")).headers
    assert HEADER not in (await api.client.post(CHAT, json={"messages": []})).headers


@given(st.one_of(st.none(), texts), texts, st.one_of(st.none(), texts), texts)
def test_tenants_and_deployments_never_meet(tenant: str | None, name: str, other: str | None, more: str) -> None:
    here, there = Affinity(b"one"), Affinity(b"two")
    same = (tenant or "", name) == (other or "", more)
    assert (here.of_name(tenant, name) == here.of_name(other, more)) is same
    assert here.of_name(tenant, name) == Affinity(b"one").of_name(tenant, name) != there.of_name(tenant, name)
    assert here.of_prompt(tenant, CODEC.encode(name)) != here.of_name(tenant, name)


@pytest.mark.parametrize("value", [b"", b"short", b"a b c d e f", b"x" * 129, b"line\nfeed....", "é".encode() * 8])
def test_what_no_header_should_repeat_is_no_word(value: bytes) -> None:
    assert sent_word([(HEADER.encode(), value)]) is None
