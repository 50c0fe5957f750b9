"""Small programs on the official Python packages: an agent in a few lines, in every way the packages offer.

Each is run behind its recipe, which makes ``client``. Knows no server.
"""

from __future__ import annotations

TASK = "Rename the function add to plus in calc.py"

_TOOLS = f'''
import json
from pathlib import Path

from openai import LengthFinishReasonError

TASK = "{TASK}"
NAMES = {{"read_file": ["path"], "edit_file": ["path", "old_text", "new_text"]}}
SCHEMAS = {{
    name: {{
        "type": "object",
        "properties": {{key: {{"type": "string"}} for key in keys}},
        "required": keys,
        "additionalProperties": False,
    }}
    for name, keys in NAMES.items()
}}


def use(name, arguments):
    path = Path(arguments["path"])
    if name == "read_file":
        return path.read_text() if path.is_file() else "no such file"
    text = path.read_text() if path.is_file() else ""
    if text.count(arguments["old_text"]) != 1:
        return "old_text must occur exactly once"
    path.write_text(text.replace(arguments["old_text"], arguments["new_text"]))
    return "done"

'''

CHAT = (
    _TOOLS
    + """
TOOLS = [{"type": "function", "function": {"name": n, "parameters": SCHEMAS[n], "strict": True}} for n in NAMES]
messages = [{"role": "user", "content": TASK}]
for turn in range(4):
    ANSWER
    messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
    print(message.content)
    for call in message.tool_calls or []:
        result = use(call.function.name, json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    if not message.tool_calls:
        break
"""
)
CHAT_WHOLE = CHAT.replace(
    "ANSWER",
    'message = client.chat.completions.create(model="coder", messages=messages, tools=TOOLS).choices[0].message',
)
CHAT_STREAM = CHAT.replace(
    "ANSWER",
    """try:
        with client.chat.completions.stream(model="coder", messages=messages, tools=TOOLS) as stream:
            kinds = [event.type for event in stream]
            completion = stream.get_final_completion()
    except LengthFinishReasonError as error:
        print(error.completion.choices[0].finish_reason)
        break
    assert kinds[0] == "chunk" and completion.choices[0].finish_reason, kinds
    message = completion.choices[0].message
    for call in message.tool_calls or []:
        assert "tool_calls.function.arguments.done" in kinds and call.id""",
)

RESPONSES = (
    _TOOLS
    + """
TOOLS = [{"type": "function", "name": n, "parameters": SCHEMAS[n], "strict": True} for n in NAMES]
items = [{"role": "user", "content": TASK}]
for turn in range(4):
    ANSWER
    print(response.output_text)
    items += response.output
    calls = [item for item in response.output if item.type == "function_call"]
    for call in calls:
        output = use(call.name, json.loads(call.arguments))
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": output})
    if not calls:
        break
"""
)
_ASK = 'model="coder", input=items, tools=TOOLS, store=False, include=["reasoning.encrypted_content"]'
RESPONSES_WHOLE = RESPONSES.replace("ANSWER", f"response = client.responses.create({_ASK})")
RESPONSES_STREAM = RESPONSES.replace(
    "ANSWER",
    f"""with client.responses.stream({_ASK}) as stream:
        kinds = [event.type for event in stream]
        assert kinds[0] == "response.created" and kinds[-1] in ("response.completed", "response.incomplete"), kinds
        if kinds[-1] == "response.incomplete":
            break
        response = stream.get_final_response()""",
)

MESSAGES = (
    _TOOLS
    + """
TOOLS = [{"name": n, "input_schema": SCHEMAS[n]} for n in NAMES]
messages = [{"role": "user", "content": TASK}]
THINKING = {"type": "enabled", "budget_tokens": 1024}
for turn in range(4):
    ANSWER
    messages.append({"role": "assistant", "content": message.content})
    print(message.stop_reason, message.content)
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": use(block.name, block.input)}
        for block in message.content
        if block.type == "tool_use"
    ]
    messages.append({"role": "user", "content": results})
    if not results:
        break
"""
)
_MESSAGE = 'model="coder", max_tokens=4096, messages=messages, tools=TOOLS, thinking=THINKING'
MESSAGES_WHOLE = MESSAGES.replace("ANSWER", f"message = client.messages.create({_MESSAGE})")
MESSAGES_STREAM = MESSAGES.replace(
    "ANSWER",
    f"""with client.messages.stream({_MESSAGE}) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop", kinds""",
)

CHAT_EDITS = f"""
from pathlib import Path

text = Path("calc.py").read_text()
made = dict(
    model="coder",
    messages=[{{"role": "system", "content": "You are careful."}}, {{"role": "user", "content": "{TASK}"}}],
    extra_body={{"edits": {{"files": [{{"path": "calc.py", "content": text}}]}}}},
)
ANSWER
for block in edits["edits"]:
    assert text.count(block["search"]) == 1 and block["search"] in content, content
    text = text.replace(block["search"], block["replace"])
for file in edits["files"]:
    Path(file["path"]).write_text(file["content"])
assert text == Path("calc.py").read_text(), edits
"""
"""The answer is an edit: what is changed comes beside it."""
CHAT_EDITS_WHOLE = CHAT_EDITS.replace(
    "ANSWER",
    """choice = client.chat.completions.create(**made).choices[0]
assert choice.finish_reason in ("stop", "length")
content, edits = choice.message.content, choice.dovetail["edits"]""",
)
CHAT_EDITS_STREAM = CHAT_EDITS.replace(
    "ANSWER",
    """choices = [chunk.choices[0] for chunk in client.chat.completions.create(**made, stream=True)]
assert choices[-1].finish_reason in ("stop", "length")
content, edits = "".join(each.delta.content or "" for each in choices), choices[-1].dovetail["edits"]""",
)

PROGRAMS = {
    "chat": ("openai (Python)", CHAT_WHOLE),
    "chat-stream": ("openai (Python)", CHAT_STREAM),
    "chat-edits": ("openai (Python)", CHAT_EDITS_WHOLE),
    "chat-edits-stream": ("openai (Python)", CHAT_EDITS_STREAM),
    "responses": ("openai (Python)", RESPONSES_WHOLE),
    "responses-stream": ("openai (Python)", RESPONSES_STREAM),
    "messages": ("anthropic (Python)", MESSAGES_WHOLE),
    "messages-stream": ("anthropic (Python)", MESSAGES_STREAM),
}

_LEVEL = """
import json

SCHEMA = {
    "type": "object",
    "properties": {"level": {"enum": ["low", "high"]}, "steps": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["level", "steps"],
    "additionalProperties": False,
}
ASK = [{"role": "user", "content": "hi"}]
calls = []
for attempt in range(4):
    ANSWER
assert calls, "every answer was cut before its call was complete"
for name, arguments in calls:
    assert name == "set_level" and set(arguments) == {"level", "steps"}, arguments
    assert arguments["level"] in ("low", "high") and 0 <= arguments["steps"] <= 99, arguments
"""
MUST_CALL = {
    "chat": (
        "openai (Python)",
        _LEVEL.replace(
            "ANSWER",
            """tool = {"type": "function", "function": {"name": "set_level", "parameters": SCHEMA, "strict": True}}
    made = {"model": "coder", "messages": ASK, "tools": [tool], "tool_choice": "required", "parallel_tool_calls": False}
    choice = client.chat.completions.create(**made, seed=attempt).choices[0]
    if choice.finish_reason == "tool_calls":
        calls += [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls]""",
        ),
    ),
    "responses": (
        "openai (Python)",
        _LEVEL.replace(
            "ANSWER",
            """tool = {"type": "function", "name": "set_level", "parameters": SCHEMA, "strict": True}
    made = {"model": "coder", "input": ASK, "tools": [tool], "tool_choice": "required", "parallel_tool_calls": False}
    with client.responses.stream(**made) as stream:
        events = list(stream)
    if events[-1].type == "response.completed":
        calls += [(item.name, json.loads(item.arguments)) for item in events[-1].response.output if item.type == "function_call"]""",
        ),
    ),
    "messages": (
        "anthropic (Python)",
        _LEVEL.replace(
            "ANSWER",
            """tool = {"name": "set_level", "input_schema": SCHEMA}
    choice = {"type": "any", "disable_parallel_tool_use": True}
    with client.messages.stream(model="coder", max_tokens=512, messages=ASK, tools=[tool], tool_choice=choice) as stream:
        message = stream.get_final_message()
    if message.stop_reason == "tool_use":
        calls += [(block.name, block.input) for block in message.content if block.type == "tool_use"]""",
        ),
    ),
}
"""Programs whose model must call, and is held to the tool's schema, whatever it would say."""
