"""A made-up dialect for tests of the protocols: <think>...</think>, <call NAME>arguments</call>, and a prompt that shows all."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from conftest import CODEC, served_model

from dovetail.serve.api.served import ChatMessage, OfferedTool, ServedModel

_TAG = re.compile(r"<(?:think|/think|/call|call [^<>]*)>")


@dataclass(frozen=True)
class Said:
    kind: str
    text: str


class MarkedReader:
    """Holds back what may be the beginning of a tag."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._rest = ""
        self._kind = "text"

    def feed(self, text: str) -> Sequence[Said]:
        self._rest += text
        said = []
        while match := _TAG.search(self._rest):
            said += self._plain(self._rest[: match.start()]) + self._tag(match.group()[1:-1])
            self._rest = self._rest[match.end() :]
        held = self._rest.rfind("<")
        cut = len(self._rest) if held < 0 else held
        said += self._plain(self._rest[:cut])
        self._rest = self._rest[cut:]
        return said

    def finish(self) -> Sequence[Said]:
        rest, self._rest = self._rest, ""
        return self._plain(rest)

    def _tag(self, tag: str) -> list[Said]:
        if tag in ("think", "/think"):
            self._kind = "reasoning" if tag == "think" else "text"
            return []
        if tag == "/call":
            self._kind = "text"
            return [Said("end", "")]
        name = tag.removeprefix("call ")
        if name not in self._names:
            return self._plain(f"<{tag}>")
        self._kind = "arguments"
        return [Said("call", name)]

    def _plain(self, text: str) -> list[Said]:
        return [Said(self._kind, text)] if text else []


class MarkedDialect:
    reasons = True
    visible_ids = ()
    plain_inputs = True

    def reader(self, tools: Sequence[OfferedTool], prompt: Sequence[int] = ()) -> MarkedReader:
        return MarkedReader(frozenset(tool.name for tool in tools))

    @property
    def spellings(self) -> dict[int, str]:
        return {}

    def heads(self, tools: Sequence[OfferedTool]) -> list[None]:
        return [None for _ in tools]

    def grammar(
        self,
        tools: Sequence[OfferedTool],
        prompt: Sequence[int] = (),
        *,
        required: bool,
        parallel: bool,
        answer: str | None = None,
    ) -> str | None:
        return None


def render(messages: list[ChatMessage], tools: Sequence[OfferedTool] = (), effort: str | None = None) -> list[int]:
    offered = "".join(f"[{tool.kind} {tool.name}: {tool.description}]\n" for tool in tools)
    turns = "".join(f"{json.dumps(message, ensure_ascii=False)}\n" for message in messages)
    return CODEC.encode(f"{offered}{turns}effort {effort}\n")


def marked_model(max_model_len: int = 4096) -> ServedModel:
    return replace(served_model(max_model_len), render_chat=render, dialect=MarkedDialect())
