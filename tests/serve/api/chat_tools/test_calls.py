"""Calls in chat answers, whole and streamed: functions, custom tools, reasoning beside them, and what is no call."""

from __future__ import annotations

from offered_tools import CALL, READ, URL, USER, ask, chunks
from openai import AsyncOpenAI
from tool_model import pieces

from dovetail.serve.engine.fake import reply


async def test_a_call(speaking):
    api = speaking(f"Let me look.\n{CALL}")
    [choice] = (await api.post(URL, ask())).json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert message["content"] == "Let me look."
    [call] = message["tool_calls"]
    assert call["id"].startswith("call_")
    assert (call["type"], call["function"]) == ("function", {"name": "read", "arguments": '{"path": "a.py"}'})


async def test_a_call_alone_has_no_content(speaking):
    [choice] = (await speaking(CALL).post(URL, ask())).json()["choices"]
    assert choice["message"]["content"] is None


async def test_a_streamed_call(speaking):
    api = speaking(f'Look.\n{CALL}\n<tool_call>\n{{"name": "now"}}\n</tool_call>')
    deltas = chunks((await api.post(URL, ask(stream=True))).text)
    assert deltas[-1]["finish_reason"] == "tool_calls"
    calls = [call for each in deltas for call in each["delta"].get("tool_calls", ())]
    heads = [call for call in calls if "id" in call]
    assert [(call["index"], call["type"], call["function"]) for call in heads] == [
        (0, "function", {"name": "read", "arguments": ""}),
        (1, "function", {"name": "now", "arguments": ""}),
    ]
    first = [call["function"]["arguments"] for call in calls if call["index"] == 0]
    assert len(first) > 5, "arguments are streamed as they come"
    assert "".join(first) == '{"path": "a.py"}'
    assert "".join(call["function"]["arguments"] for call in calls if call["index"] == 1) == "{}"


async def test_custom_tools_carry_plain_input(speaking):
    said = '<tool_call>\n{"name": "patch", "arguments": "below"}\n+abc\n</tool_call>'
    [choice] = (await speaking(said).post(URL, ask())).json()["choices"]
    [call] = choice["message"]["tool_calls"]
    assert (call["type"], call["custom"]) == ("custom", {"name": "patch", "input": "+abc"})
    deltas = chunks((await speaking(said).post(URL, ask(stream=True))).text)
    calls = [call for each in deltas for call in each["delta"].get("tool_calls", ())]
    assert calls[0]["custom"] == {"name": "patch", "input": ""}
    assert "".join(call["custom"]["input"] for call in calls) == "+abc"


async def test_functions_as_they_once_were(speaking):
    body = {"messages": [USER], "functions": [READ["function"]], "function_call": "auto"}
    [choice] = (await speaking(CALL).post(URL, body)).json()["choices"]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "read", "arguments": '{"path": "a.py"}'}
    assert "tool_calls" not in choice["message"]
    deltas = chunks((await speaking(CALL).post(URL, {**body, "stream": True})).text)
    told = [each["delta"]["function_call"] for each in deltas if "function_call" in each["delta"]]
    assert told[0] == {"name": "read", "arguments": ""}
    assert "".join(each["arguments"] for each in told) == '{"path": "a.py"}'


async def test_what_is_no_call_is_text(speaking):
    for said in ("<tool_call> is a tag", '<tool_call>{"nam', "<tool_call>\n[]\n</tool_call>"):
        [choice] = (await speaking(said).post(URL, ask())).json()["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == (said, "stop")


async def test_a_call_that_the_budget_cuts_off_is_told_as_far_as_it_went(speaking, model):
    budget = len([token for piece in pieces(CALL[:50]) for token in model.codec.encode(piece)])
    [choice] = (await speaking(CALL).post(URL, ask(max_completion_tokens=budget))).json()["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"][0]["function"]["arguments"].startswith('{"pa')


async def test_without_tools_tags_are_text(speaking):
    for body in ({"messages": [USER]}, ask(tools=[]), ask(tool_choice="none")):
        [choice] = (await speaking(CALL).post(URL, body)).json()["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == (CALL, "stop")


async def test_reasoning_is_told_apart(speaking):
    said = "<think>\nHm.\n</think>\n\nHello"
    answer = (await speaking(said).post(URL, {"messages": [USER], "reasoning_effort": "high"})).json()
    message = answer["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("Hm.", "Hello")
    assert 0 < answer["usage"]["completion_tokens_details"]["reasoning_tokens"] < answer["usage"]["completion_tokens"]
    deltas = chunks((await speaking(said).post(URL, {"messages": [USER], "stream": True})).text)
    assert "".join(each["delta"].get("reasoning_content", "") for each in deltas) == "Hm."
    assert "".join(each["delta"].get("content", "") for each in deltas) == "Hello"


async def test_effort_reaches_the_template(speaking, model):
    api = speaking()
    answer = await api.post(URL, {"messages": [USER], "reasoning_effort": "xhigh"})
    assert "x-dovetail-ignored" not in answer.headers
    assert model.codec.decode(api.engine.requests[-1].prompt).endswith("effort high")


async def test_logprobs_with_tools_lose_no_token(speaking):
    body = ask(logprobs=True, top_logprobs=1)
    whole = (await speaking(f"So:\n{CALL}").post(URL, body)).json()
    entries = whole["choices"][0]["logprobs"]["content"]
    assert len(entries) == whole["usage"]["completion_tokens"]
    deltas = chunks((await speaking(f"So:\n{CALL}").post(URL, {**body, "stream": True})).text)
    told = [entry for each in deltas if each["logprobs"] for entry in each["logprobs"]["content"]]
    assert told == entries


async def test_the_official_client_helpers(make_live, model):
    live = await make_live(lambda request: reply(request, pieces(f"Look.\n{CALL}"), model.codec.encode), served=model)
    client = AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0)
    async with client, client.chat.completions.stream(model="tiny", messages=[USER], tools=[READ]) as stream:
        names = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert "tool_calls.function.arguments.delta" in names
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"path": "a.py"}'
    assert final.choices[0].message.content == "Look."
