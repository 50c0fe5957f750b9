"""How much a key may ask for, what answers say of it, and that exactly what was made is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import anthropic
import openai
import pytest
from guarded_api import ANSWER, ASKED, BLOCK, CHAT, GENERATING, PROMPT, begun_batch, ended_batch, endless, hello

from dovetail.serve.api.access.headers import duration
from dovetail.serve.engine.fake import Step
from dovetail.serve.errors import EngineError
from dovetail.serve.govern.access.document import AccessFile, Group
from dovetail.serve.govern.principal import Quota, Scopes
from dovetail.serve.types import Request


@pytest.mark.parametrize("path", GENERATING)
async def test_a_request_is_settled_with_what_it_came_to(guarded, path: str) -> None:
    api = guarded()
    key = api.key(quota=Quota(tokens_per_minute=3000, requests_per_minute=10))
    answer = await api.post(path, GENERATING[path], key)
    assert answer.status_code == 200
    if path == "/v1/messages":
        assert answer.headers["anthropic-ratelimit-requests-limit"] == "10"
        assert answer.headers["anthropic-ratelimit-requests-remaining"] == "9"
        assert int(answer.headers["anthropic-ratelimit-tokens-remaining"]) < 3000
        assert answer.headers["anthropic-ratelimit-tokens-reset"].endswith("Z")
    else:
        assert answer.headers["x-ratelimit-limit-requests"] == "10"
        assert answer.headers["x-ratelimit-remaining-requests"] == "9"
        assert int(answer.headers["x-ratelimit-remaining-tokens"]) < 3000
        assert answer.headers["x-ratelimit-reset-requests"].endswith("s")
    [(requests, refused, prompt, completion)] = await api.used()
    assert (requests, refused) == (1, 0)
    assert prompt == len(api.engine.requests[0].prompt)
    assert completion in (ANSWER, len(BLOCK))
    after = await api.client.get("/v1/models", headers={"x-api-key": key})
    assert after.headers["x-ratelimit-remaining-tokens"] == str(3000 - prompt - completion)


async def test_requests_beyond_the_quota(guarded) -> None:
    api = guarded()
    key = api.key(quota=Quota(requests_per_minute=2))
    answers = [await api.post(CHAT, ASKED, key) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 60 <= int(answers[2].headers["retry-after"]) <= 61
    assert answers[2].headers["x-ratelimit-remaining-requests"] == "0"
    assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
    anthropic = await api.post("/v1/messages", {**ASKED, "max_tokens": 5}, key)
    assert anthropic.status_code == 429
    assert anthropic.json()["error"]["type"] == "rate_limit_error"
    assert (await api.post(CHAT, ASKED, api.key())).status_code == 200


async def test_the_official_clients_understand(guarded, make_live) -> None:
    api = guarded()
    live = await make_live(governance=api.governance)
    keys = [api.key(quota=Quota(requests_per_minute=1)) for _ in range(2)]
    async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key=keys[0], max_retries=0) as client:
        told = await client.chat.completions.with_raw_response.create(**ASKED)
        assert told.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError) as limited:
            await client.chat.completions.create(**ASKED)
        assert int(limited.value.response.headers["retry-after"]) >= 60
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="dvt_a_b").chat.completions.create(**ASKED)
        no_model = api.key(scopes=Scopes(models=()))
        with pytest.raises(openai.PermissionDeniedError):
            await client.with_options(api_key=no_model).chat.completions.create(**ASKED)
    async with anthropic.AsyncAnthropic(base_url=live.url, api_key=keys[1], max_retries=0) as client:
        assert (await client.messages.create(**ASKED, max_tokens=5)).content
        with pytest.raises(anthropic.RateLimitError):
            await client.messages.create(**ASKED, max_tokens=5)
        with pytest.raises(anthropic.AuthenticationError):
            await client.with_options(api_key="dvt_a_b").messages.create(**ASKED, max_tokens=5)


async def test_an_answer_is_no_longer_than_the_quota_ever_lets_it_be(guarded) -> None:
    api = guarded()
    key = api.key(quota=Quota(tokens_per_minute=PROMPT + 4))
    answer = await api.post(CHAT, {**ASKED, "max_tokens": 1000}, key)
    assert answer.json()["choices"][0]["finish_reason"] == "length"
    assert api.engine.requests[0].sampling.max_tokens == 4
    assert (await api.post(CHAT, {**ASKED, "n": 2}, api.key(quota=Quota(tokens_per_minute=PROMPT + 9)))).json()
    assert api.engine.requests[1].sampling.max_tokens == 4
    too_long = await api.post(CHAT, ASKED, api.key(quota=Quota(tokens_per_minute=PROMPT)))
    assert (too_long.status_code, too_long.json()["error"]["code"]) == (400, "quota_too_small")
    window = await api.post(CHAT, ASKED, api.key(quota=Quota(context=PROMPT)))
    assert window.json()["error"]["code"] == "context_length_exceeded"


async def test_tokens_beyond_the_quota_of_a_group(guarded) -> None:
    api = guarded(file=AccessFile(groups={"team": Group(quota=Quota(tokens_per_minute=3 * PROMPT + 40))}))
    keys = [api.key(group="team") for _ in range(2)]
    answers = [await api.post(CHAT, {**ASKED, "max_tokens": 20}, keys[index % 2]) for index in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "tokens per minute" in answers[2].json()["error"]["message"]
    assert [line[:2] for line in sorted(await api.used())] == [(1, 0), (1, 1)]


async def test_a_client_that_leaves_pays_for_what_was_made(guarded) -> None:
    api = guarded(endless)
    key = api.key(quota=Quota(streams=1, tokens_per_minute=3000))
    leaving = asyncio.create_task(api.post(CHAT, {**ASKED, "stream": True, "max_tokens": 1500}, key))
    while not api.engine.running:  # noqa: ASYNC110 (the engine is another task's)
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    busy = await api.post(CHAT, ASKED, key)
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "1")
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    api.engine.script = hello
    assert (await api.post(CHAT, {**ASKED, "max_tokens": 100}, key)).status_code == 200
    [(requests, refused, prompt, completion)] = await api.used()
    assert (requests, refused, prompt) == (2, 1, 2 * PROMPT)
    assert ANSWER < completion < 1000


async def test_what_fails_is_given_back(guarded) -> None:
    def fails(request: Request) -> Iterator[Step]:
        yield EngineError("no")

    api = guarded(fails)
    key = api.key(quota=Quota(streams=1, tokens_per_minute=3000))
    for body in (ASKED, {**ASKED, "stream": True}, {**ASKED, "temperature": "hot"}):
        await api.post(CHAT, body, key)
    levels = (await api.client.get("/v1/models", headers={"x-api-key": key})).headers
    assert levels["x-ratelimit-remaining-tokens"] == "3000"


async def test_a_background_response_is_settled_when_it_ends(guarded) -> None:
    def slow(request: Request) -> Iterator[Step]:
        yield 0.2
        yield from hello(request)

    api = guarded(slow)
    key = api.key(quota=Quota(streams=1))
    begun = await api.post("/v1/responses", {"input": "hi", "background": True}, key)
    assert begun.status_code == 200
    assert (await api.post(CHAT, ASKED, key)).status_code == 429
    path, headers = f"/v1/responses/{begun.json()['id']}", {"x-api-key": key}
    while (await api.client.get(path, headers=headers)).json()["status"] != "completed":  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert (await api.post(CHAT, ASKED, key)).status_code == 200
    assert [line[:2] for line in await api.used()] == [(2, 1)]


async def test_a_batch_waits_for_its_quota(guarded) -> None:
    api = guarded(endless, retry_after_seconds=0.02)
    key = api.key(quota=Quota(streams=1))
    busy = asyncio.create_task(api.post(CHAT, {**ASKED, "stream": True, "max_tokens": 1500}, key))
    while not api.engine.running:  # noqa: ASYNC110 (the engine is another task's)
        await asyncio.sleep(0.01)
    batch = await begun_batch(api, key)
    while not (await api.used()) or (await api.used())[0][1] < 1:  # noqa: ASYNC110 (a count in a database)
        await asyncio.sleep(0.02)
    api.engine.script = hello
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
    ended = await ended_batch(api, batch["id"], key)
    assert ended["request_counts"] == {"total": 1, "completed": 1, "failed": 0}


async def test_200_clients_at_once_get_exactly_the_quota(guarded) -> None:
    def brief(request: Request) -> Iterator[Step]:
        yield 0.01
        yield from hello(request)

    api = guarded(brief, AccessFile(groups={"team": Group(quota=Quota(requests_per_minute=70, streams=16))}))
    keys = [api.key(group="team", quota=Quota(requests_per_minute=25, streams=8)) for _ in range(4)]
    most = 0

    async def one(index: int) -> tuple[str, int]:
        nonlocal most
        key = keys[index % 4]
        answer = await api.post(CHAT, {**ASKED, "stream": bool(index % 3)}, key)
        most = max(most, api.engine.running)
        return key, answer.status_code

    answers = await asyncio.gather(*(one(index) for index in range(200)))
    for key in keys:
        assert sum(answer == (key, 200) for answer in answers) <= 25
    assert {status for _, status in answers} == {200, 429}
    assert most <= 16
    assert sum(line[0] for line in await api.used()) == sum(status == 200 for _, status in answers)
    while (last := await api.post(CHAT, ASKED, keys[0])).status_code == 200:
        pass
    assert "requests per minute" in last.json()["error"]["message"]
    assert not api.engine.running


def test_durations() -> None:
    told = {0: "0ms", 0.25: "250ms", 1: "1s", 59.9: "59s", 60: "1m0s", 3600: "1h0m0s", 86_400: "24h0m0s"}
    assert {seconds: duration(seconds) for seconds in told} == told
