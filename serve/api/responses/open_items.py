"""Output items while they grow: what each kind looks like, and which events its growth is told by. Counts no sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dovetail.serve.api.conversation.conversation import ToolKind

Told = list[tuple[str, dict[str, Any]]]
"""Events as type and payload, less what all of them carry."""


class OpenItem(Protocol):
    """An item that is being written."""

    @property
    def id(self) -> str:
        """Stable from its first event to the stored response."""
        ...

    def begin(self) -> Told:
        """What is told when it has been added."""
        ...

    def add(self, text: str, logprobs: Sequence[dict[str, Any]] = ()) -> Told:
        """More text."""
        ...

    def end(self) -> Told:
        """What is told before it is done."""
        ...

    def shown(self, status: str) -> dict[str, Any]:
        """The item itself, as it stands."""
        ...


class OpenMessage:
    """What the assistant says: one part of text, or the words with which it declines."""

    def __init__(self, id: str, *, refusal: bool = False) -> None:
        self.id = id
        self._refusal = refusal
        self._texts: list[str] = []
        self._logprobs: list[dict[str, Any]] = []
        self._begun = False

    def begin(self) -> Told:
        """Its one part."""
        self._begun = True
        return [("response.content_part.added", {"content_index": 0, "part": self._part})]

    def add(self, text: str, logprobs: Sequence[dict[str, Any]] = ()) -> Told:
        """A delta."""
        self._texts.append(text)
        self._logprobs.extend(logprobs)
        if self._refusal:
            return [("response.refusal.delta", {"content_index": 0, "delta": text})]
        return [("response.output_text.delta", {"content_index": 0, "delta": text, "logprobs": list(logprobs)})]

    def end(self) -> Told:
        """The whole text, twice: so the protocol has it."""
        part = self._part
        if self._refusal:
            return [
                ("response.refusal.done", {"content_index": 0, "refusal": part["refusal"]}),
                ("response.content_part.done", {"content_index": 0, "part": part}),
            ]
        return [
            ("response.output_text.done", {"content_index": 0, "text": part["text"], "logprobs": part["logprobs"]}),
            ("response.content_part.done", {"content_index": 0, "part": part}),
        ]

    def shown(self, status: str) -> dict[str, Any]:
        """Without its part until that has been announced."""
        content = [self._part] if self._begun else []
        return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content}

    @property
    def _part(self) -> dict[str, Any]:
        text = "".join(self._texts)
        if self._refusal:
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(self._logprobs)}


class OpenReasoning:
    """What the model thinks; shown as the item's content, or as its summary where the client asked for one."""

    def __init__(self, id: str, summarise: bool, seal: Callable[[str], str] | None) -> None:
        self.id = id
        self._texts: list[str] = []
        self._seal = seal
        self._summarise = summarise
        self._kind = "summary_text" if summarise else "reasoning_text"
        self._event = "response.reasoning_summary_text" if summarise else "response.reasoning_text"
        self._part_event = "response.reasoning_summary_part" if summarise else "response.content_part"
        self._place = {"summary_index" if summarise else "content_index": 0}
        self._begun = False

    def begin(self) -> Told:
        """Its one part."""
        self._begun = True
        return [(f"{self._part_event}.added", {**self._place, "part": {"type": self._kind, "text": ""}})]

    def add(self, text: str, logprobs: Sequence[dict[str, Any]] = ()) -> Told:
        """A delta."""
        self._texts.append(text)
        return [(f"{self._event}.delta", {**self._place, "delta": text})]

    def end(self) -> Told:
        """The whole text, twice: so the protocol has it."""
        part = self._part
        return [
            (f"{self._event}.done", {**self._place, "text": part["text"]}),
            (f"{self._part_event}.done", {**self._place, "part": part}),
        ]

    def shown(self, status: str) -> dict[str, Any]:
        """With its seal once it is over."""
        parts = [self._part] if self._begun else []
        item: dict[str, Any] = {
            "id": self.id,
            "type": "reasoning",
            "status": status,
            "summary": parts if self._summarise else [],
            "content": [] if self._summarise else parts,
        }
        if self._seal is not None:
            item["encrypted_content"] = self._seal("".join(self._texts)) if status != "in_progress" else None
        return item

    @property
    def _part(self) -> dict[str, Any]:
        return {"type": self._kind, "text": "".join(self._texts)}


class OpenCall:
    """A call of a function or of a custom tool, under the name that the client gave it."""

    def __init__(self, id: str, call_id: str, name: str, namespace: str | None, kind: ToolKind) -> None:
        self.id = id
        self._call_id = call_id
        self._name = name
        self._namespace = namespace
        self._texts: list[str] = []
        self._type = "custom_tool_call" if kind == "custom" else "function_call"
        self._field = "input" if kind == "custom" else "arguments"
        self._event = "response.custom_tool_call_input" if kind == "custom" else "response.function_call_arguments"

    def begin(self) -> Told:
        """Nothing: its arguments have no parts."""
        return []

    def add(self, text: str, logprobs: Sequence[dict[str, Any]] = ()) -> Told:
        """A delta."""
        self._texts.append(text)
        return [(f"{self._event}.delta", {"delta": text})]

    def end(self) -> Told:
        """All of its arguments."""
        return [(f"{self._event}.done", {"name": self._name, self._field: "".join(self._texts)})]

    def shown(self, status: str) -> dict[str, Any]:
        """With its namespace only where it has one, as Codex expects."""
        item = {
            "id": self.id,
            "type": self._type,
            "status": status,
            "call_id": self._call_id,
            "name": self._name,
            self._field: "".join(self._texts),
        }
        if self._namespace is not None:
            item["namespace"] = self._namespace
        return item
