"""Earlier messages as templates take them: arguments parsed, ids shaped, roles in an order that strict templates accept.

What a client sends back is not always what a model wrote. Nothing here fails: what cannot be read is handed on as text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

Message = dict[str, Any]

_MAX_DEPTH = 100


def with_parsed_arguments(message: Mapping[str, Any]) -> Message:
    """The message, its calls' arguments as objects; what is not an object stands under ``raw``."""
    changed = dict(message)
    if message.get("tool_calls"):
        changed["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": parsed(call["function"]["arguments"])}}
            for call in message["tool_calls"]
        ]
    return changed


def parsed(arguments: str) -> dict[str, Any]:
    """JSON text of arguments as an object."""
    try:
        value = json.loads(arguments) if arguments.strip() else {}
    except (ValueError, RecursionError):
        return {"raw": arguments}
    if value is None:
        return {}
    return value if isinstance(value, dict) and not _nested_deeply(value) else {"raw": arguments}


def _nested_deeply(value: dict[str, Any]) -> bool:
    """Whether a template's sandbox, which goes through values by recursion, might not come to their end."""
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        inner = (item for outer in level for item in (outer.values() if isinstance(outer, dict) else outer))
        level = [item for item in inner if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def with_short_ids(message: Mapping[str, Any]) -> Message:
    """The message, its call ids as nine letters or digits, which Mistral's templates insist on."""
    changed = dict(message)
    if message.get("tool_calls"):
        changed["tool_calls"] = [{**call, "id": short_id(call["id"])} for call in message["tool_calls"]]
    if message.get("role") == "tool":
        changed["tool_call_id"] = short_id(message.get("tool_call_id", ""))
    return changed


def short_id(call_id: str) -> str:
    """A call id as nine letters and digits, the same for the same id."""
    if len(call_id) == 9 and call_id.isascii() and call_id.isalnum():
        return call_id
    return hashlib.sha256(call_id.encode()).hexdigest()[:9]


def as_text(message: Mapping[str, Any], tags: tuple[str, str] = ("<tool_call>", "</tool_call>")) -> Message:
    """The message in words alone, for templates that know no tools: calls in tags, results as what the user says."""
    role = message["role"]
    text = str(message.get("content") or "")
    if role == "tool":
        inert = text.replace("</tool_response", "<\\/tool_response")  # what a tool says cannot end its own marks
        return {"role": "user", "content": f"<tool_response>\n{inert}\n</tool_response>"}
    shown = [json.dumps(_plain_call(call), ensure_ascii=False) for call in message.get("tool_calls") or ()]
    calls = [f"{tags[0]}\n{call}\n{tags[1]}" for call in shown]
    changed = {key: value for key, value in message.items() if key != "tool_calls"}
    changed["content"] = "\n".join(filter(None, [text, *calls]))
    return changed


def _plain_call(call: Mapping[str, Any]) -> dict[str, Any]:
    arguments = call["function"]["arguments"]
    return {
        "name": call["function"]["name"],
        "arguments": parsed(arguments) if isinstance(arguments, str) else arguments,
    }


def told(messages: Sequence[Message], text: str) -> list[Message]:
    """The messages with ``text`` at the end of the system message, which is made if there is none."""
    if messages and messages[0]["role"] == "system":
        first = {**messages[0], "content": f"{messages[0]['content']}\n\n{text}".strip()}
        return [first, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]


def system_first(messages: Sequence[Message]) -> list[Message]:
    """Instructions in the middle of a conversation as part of what the user says there; those at its head as one."""
    head = 0
    while head < len(messages) and messages[head]["role"] == "system":
        head += 1
    rest = [
        {**message, "role": "user", "content": f"<system>\n{message['content']}\n</system>"}
        if message["role"] == "system"
        else message
        for message in messages[head:]
    ]
    if not head:
        return rest
    content = "\n\n".join(message["content"] for message in messages[:head] if message["content"])
    return [{**messages[0], "content": content}, *rest]


def system_into_user(messages: Sequence[Message]) -> list[Message]:
    """No system message at all: its text begins what the user says first."""
    if not messages or messages[0]["role"] != "system":
        return list(messages)
    text = messages[0]["content"]
    rest = list(messages[1:])
    if rest and rest[0]["role"] == "user":
        return [{**rest[0], "content": f"{text}\n\n{rest[0]['content']}"}, *rest[1:]]
    return [{"role": "user", "content": text}, *rest]


def alternating(messages: Sequence[Message]) -> list[Message]:
    """User and assistant by turns, beginning with the user: neighbours of one role become one message."""
    merged: list[Message] = []
    for message in messages:
        last = merged[-1] if merged else None
        if last is not None and last["role"] == message["role"] != "tool":
            merged[-1] = _merged(last, message)
        else:
            if message["role"] == "assistant" and (last is None or last["role"] == "system"):
                merged.append({"role": "user", "content": ""})
            merged.append(message)
    return merged


def _merged(first: Message, second: Message) -> Message:
    both = {**first, **second}
    both["content"] = "\n\n".join(filter(None, [str(first.get("content") or ""), str(second.get("content") or "")]))
    calls = [*(first.get("tool_calls") or ()), *(second.get("tool_calls") or ())]
    if calls:
        both["tool_calls"] = calls
    thoughts = filter(None, [first.get("reasoning_content"), second.get("reasoning_content")])
    if joined := "\n\n".join(thoughts):
        both["reasoning_content"] = joined
    return both
