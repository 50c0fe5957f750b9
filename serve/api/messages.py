"""Chat messages from the wire: checked one by one, so that a refusal names the item. Renders no template."""

from __future__ import annotations

from typing import Any, NoReturn

from dovetail.serve.api.served import ChatMessage
from dovetail.serve.errors import UserError

ROLES = ("system", "developer", "user", "assistant", "tool")
TEXT_PARTS = ("text", "input_text", "output_text")
"""Part types whose ``text`` is taken: Chat's own, and those of clients that convert from the Responses API."""

_CARRIED = ("name", "reasoning_content")


def check_messages(value: Any) -> list[ChatMessage]:
    """Messages with string contents and known roles; ``developer`` becomes ``system``, which open models know."""
    if not isinstance(value, list):
        _refuse("messages", "must be a list of messages")
    if not value:
        _refuse("messages", "must hold at least one message")
    return [_message(item, f"messages[{index}]") for index, item in enumerate(value)]


def check_prediction(value: Any) -> str:
    """The text of ``prediction``; empty if there is none."""
    if value is None:
        return ""
    if not isinstance(value, dict) or value.get("type") != "content":
        _refuse("prediction", 'must be {"type": "content", "content": text or a list of text parts}')
    return _content(value.get("content"), "prediction.content", may_be_null=False, joiner="")


def _message(item: Any, path: str) -> ChatMessage:
    if not isinstance(item, dict):
        _refuse(path, "must be an object with role and content")
    role = item.get("role")
    if role not in ROLES:
        _refuse(f"{path}.role", f"must be one of {', '.join(ROLES)}")
    message: ChatMessage = {"role": "system" if role == "developer" else role}
    message["content"] = _content(item.get("content"), f"{path}.content", may_be_null=role == "assistant")
    for name in _CARRIED:
        if item.get(name) is not None:
            message[name] = _string(item[name], f"{path}.{name}")
    if role == "assistant" and item.get("tool_calls") is not None:
        message["tool_calls"] = _tool_calls(item["tool_calls"], f"{path}.tool_calls")
    if role == "tool":
        message["tool_call_id"] = _string(item.get("tool_call_id"), f"{path}.tool_call_id")
    return message


def _content(value: Any, path: str, *, may_be_null: bool, joiner: str = "\n") -> str:
    if isinstance(value, str):
        return value
    if value is None and may_be_null:
        return ""
    if not isinstance(value, list):
        _refuse(path, "must be a string or a list of text parts")
    return joiner.join(_part(part, f"{path}[{index}]") for index, part in enumerate(value))


def _part(part: Any, path: str) -> str:
    if not isinstance(part, dict):
        _refuse(path, "must be an object with a type")
    kind = part.get("type")
    if kind == "refusal":
        return _string(part.get("refusal"), f"{path}.refusal")
    if kind not in TEXT_PARTS:
        _refuse(f"{path}.type", f"{kind!r} parts are not available with this model; send text", "unsupported_content")
    return _string(part.get("text"), f"{path}.text")


def _tool_calls(value: Any, path: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        _refuse(path, "must be a list")
    for index, call in enumerate(value):
        at = f"{path}[{index}]"
        if not isinstance(call, dict):
            _refuse(at, "must be an object")
        function = call.get("function")
        if not isinstance(function, dict):
            _refuse(f"{at}.function", "must be an object with name and arguments")
        _string(function.get("name"), f"{at}.function.name")
        _string(function.get("arguments"), f"{at}.function.arguments")
    return value


def _string(value: Any, path: str) -> str:
    if not isinstance(value, str):
        _refuse(path, "must be a string")
    return value


def _refuse(path: str, what: str, code: str = "invalid_value") -> NoReturn:
    raise UserError(f"{path}: {what}.", code=code, param=path)
