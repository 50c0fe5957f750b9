"""Any answer, in any pieces, as events: each one valid, adding up to what a whole answer is."""

from __future__ import annotations

from typing import Any

import pydantic
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from conftest import CODEC
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent

from dovetail.serve.api.anthropic.events import UNPARSED
from dovetail.serve.api.anthropic.events import Narrator as MessageNarrator
from dovetail.serve.api.conversation.pieces import (
    CallArguments,
    CallEnd,
    CallStart,
    Finish,
    Piece,
    ReasoningPiece,
    TextPiece,
)
from dovetail.serve.api.responses.events import Narrator as ResponseNarrator
from dovetail.serve.api.responses.tools import ToolNames
from dovetail.serve.types import Usage

RESPONSE_EVENT = pydantic.TypeAdapter(ResponseStreamEvent)
MESSAGE_EVENT = pydantic.TypeAdapter(RawMessageStreamEvent)
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "tiny",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
TEXTS = st.lists(st.sampled_from(["", " ", "\n", "a", "be", " c", "{", '"x": 1}', "é\U0001f600"]), max_size=4)


@st.composite
def answers(draw: st.DrawFn, *, custom: bool = True) -> list[Piece]:
    pieces: list[Piece] = []
    calls = 0
    for kind in draw(st.lists(st.sampled_from(["text", "reasoning", "function", "custom"]), max_size=6)):
        texts = draw(TEXTS)
        if kind == "text":
            pieces += map(TextPiece, texts)
        elif kind == "reasoning":
            pieces += map(ReasoningPiece, texts)
        else:
            pieces.append(
                CallStart(calls, f"call_{calls}", "n__f", "custom" if custom and kind == "custom" else "function")
            )
            pieces += [CallArguments(calls, text) for text in texts]
            pieces.append(CallEnd(calls))
            calls += 1
    reason = draw(st.sampled_from(["stop", "length"]))
    usage = Usage(prompt_tokens=9, cached_tokens=draw(st.integers(0, 9)), completion_tokens=5)
    return [*pieces, Finish("tool_calls" if reason == "stop" and calls else reason, usage, None, 2)]  # type: ignore[arg-type]


def said(pieces: list[Piece], kind: type) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, kind))


@given(answers(), st.booleans(), st.booleans())
def test_responses(pieces, summarise, sealed):
    names = ToolNames({"n__f": ("n", "f")})
    seal = (lambda text: f"sealed {text}") if sealed else None
    narrator = ResponseNarrator(RESPONSE, names, CODEC, seal=seal, summarise=summarise)
    events = [*narrator.begin(), *(event for piece in pieces for event in narrator.take(piece))]
    for number, event in enumerate(events):
        RESPONSE_EVENT.validate_python(event)
        assert event["sequence_number"] == number
    Response.model_validate(narrator.response)
    assert events[-1]["response"] == narrator.response
    items = narrator.response["output"]
    assert items
    assert len({item["id"] for item in items}) == len(items)
    added = [event["item"]["id"] for event in events if event["type"] == "response.output_item.added"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert (added, done) == ([item["id"] for item in items], items)
    shown = "".join(part["text"] for item in items if item["type"] == "message" for part in item["content"])
    assert shown.split() == said(pieces, TextPiece).split() or "".join(shown.split()) == "".join(
        said(pieces, TextPiece).split()
    )
    thoughts = [item for item in items if item["type"] == "reasoning"]
    assert said(pieces, ReasoningPiece) == "".join(
        part["text"] for item in thoughts for part in item["summary" if summarise else "content"]
    )
    assert all(("encrypted_content" in item) is sealed for item in thoughts)
    calls = [item for item in items if item["type"].endswith("_call")]
    assert said(pieces, CallArguments) == "".join(item.get("arguments", "") + item.get("input", "") for item in calls)
    assert all((item["name"], item["namespace"]) == ("f", "n") for item in calls)
    cut = pieces[-1].reason == "length"  # type: ignore[union-attr]
    assert narrator.response["status"] == ("incomplete" if cut else "completed")
    assert [item["status"] for item in items[:-1]] == ["completed"] * (len(items) - 1)


@given(answers(custom=False), st.booleans(), st.booleans())
def test_messages(pieces, thinks, omit):
    seal = (lambda text: f"sealed {text}") if thinks else None
    narrator = MessageNarrator("msg_1", "tiny", 9, seal=seal, omit=omit)
    events = [*narrator.begin(), *(event for piece in pieces for event in narrator.take(piece))]
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        typed = MESSAGE_EVENT.validate_python(event)
        if not _is_broken(event, narrator.message):
            snapshot = accumulate_event(event=typed, current_snapshot=snapshot, json_bufs=buffers)
    whole = Message.model_validate(narrator.message)
    assert [block.type for block in snapshot.content] == [block.type for block in whole.content]
    for streamed, block in zip(snapshot.content, whole.content, strict=True):
        if block.type == "tool_use" and UNPARSED in block.input:
            continue
        ours = block.model_dump(exclude_none=True)
        theirs = streamed.model_dump(exclude_none=True)
        assert {key: theirs.get(key) for key in ours} == ours
    assert (snapshot.stop_reason, snapshot.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)
    thoughts = [block for block in whole.content if block.type == "thinking"]
    expected = said(pieces, ReasoningPiece) if thinks else ""
    assert "".join(block.signature.removeprefix("sealed ") for block in thoughts) == expected
    assert "".join(block.thinking for block in thoughts) == ("" if omit else expected)


def _is_broken(event: dict[str, Any], message: dict[str, Any]) -> bool:
    """Whether the client would fail on this delta: the model's arguments are no JSON, which it is told as they are."""
    if event["type"] != "content_block_delta" or event["delta"]["type"] != "input_json_delta":
        return False
    return UNPARSED in message["content"][event["index"]]["input"]
