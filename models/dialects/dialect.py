"""One model's dialect: prompts of conversations with tools, readers of its answers, grammars that hold its calls.

Puts template, tokenizer and family together. What a template cannot take is put in a way that it can: found out by trying.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from dovetail.models.chat import ChatTemplate
from dovetail.models.dialects.choose import family_of, think_of
from dovetail.models.dialects.granite import Granite
from dovetail.models.dialects.harmony import Harmony
from dovetail.models.dialects.hermes import Hermes
from dovetail.models.dialects.lark import Lark
from dovetail.models.dialects.messages import (
    Message,
    alternating,
    as_text,
    system_first,
    system_into_user,
    told,
    with_parsed_arguments,
)
from dovetail.models.dialects.pieces import CallHead, OfferedTool, template_tool
from dovetail.models.dialects.plain import explanation
from dovetail.models.dialects.reading import Reading
from dovetail.models.errors import ChatTemplateError
from dovetail.models.tokenizer import Tokenizer

_TAIL_TOKENS = 16
_BLANK = r"/\s{0,4}/"
"""What may stand between the reasoning and a call."""

_PROBE, _WORDS, _ID = "zebra", "quagga", "abcdefghi"
_LITTLE = ("none", "minimal")
_EFFORTS = {"minimal": "low", "xhigh": "high", "max": "high"}
"""Efforts that templates do not know, as the nearest that they do."""

Rearranged = Callable[[Sequence[Message]], list[Message]]

_ARRANGEMENTS: tuple[Rearranged, ...] = (
    list,
    system_first,
    lambda messages: alternating(system_first(messages)),
    lambda messages: alternating(system_into_user(system_first(messages))),
    lambda messages: alternating(system_into_user(system_first([as_text(message) for message in messages]))),
)
"""Ever more changes to a conversation, tried in order until the template takes it."""


class ModelDialect:
    """How one model is offered tools, and what it answers with.

    Args:
        tokenizer: the model's.
        template: its chat template.
    """

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self.family = family_of(template.source, tokenizer.special)
        self._takes_tools = self._shows_tools() and self._shows_calls() is not False
        if not self._takes_tools and not isinstance(self.family, Harmony):
            self.family = Hermes()  # what it is told of in words is what it is read by
        self._think = None if isinstance(self.family, Harmony) else think_of(template.source, tokenizer.special)
        marks = (*self.family.markers, *(self._think or ()))
        self._special = {mark: tokenizer.special[mark] for mark in marks if mark in tokenizer.special}
        self._ends = frozenset(mark for mark, token in self._special.items() if token in tokenizer.eos_ids)
        self._names = {token: name for name, token in tokenizer.special.items()}
        self.visible_ids = tuple(token for mark, token in self._special.items() if mark not in self._ends)

    @property
    def reasons(self) -> bool:
        """Whether the model has reasoning of its own."""
        return self._think is not None or isinstance(self.family, Harmony)

    @property
    def plain_inputs(self) -> bool:
        """Whether inputs of custom tools can be held to Lark grammars."""
        return self.family.plain_inputs

    def prompt(
        self, messages: Sequence[Message], tools: Sequence[OfferedTool] = (), effort: str | None = None
    ) -> list[int]:
        """Prompt token ids, ready for the assistant's answer.

        Raises:
            ChatTemplateError: no arrangement of the messages is one that the template takes.
        """
        if self._takes_tools:
            shaped = self._shaped(messages)
            offered = [template_tool(tool) for tool in tools]
        else:
            shaped = [as_text(message) for message in messages]
            shaped = told(shaped, explanation(tools)) if tools else shaped
            offered = []
        return self._tokenizer.encode_rendered(self._rendered(shaped, offered, _variables(effort)))

    def reader(self, tools: Sequence[OfferedTool], prompt: Sequence[int] = ()) -> Reading:
        """Reads one answer to ``prompt``; without tools nothing is a call."""
        return self.family.reader(tools, self._think, self._thinks_already(prompt))

    def grammar(
        self,
        tools: Sequence[OfferedTool],
        prompt: Sequence[int] = (),
        *,
        required: bool,
        parallel: bool,
        answer: str | None = None,
    ) -> str | None:
        """The Lark grammar of an answer that may, or must, call ``tools``; None: a free answer cannot be held to any.

        ``answer``: a Lark expression of what it is if it is no call; None: any text.
        """
        harmony = isinstance(self.family, Harmony)
        if harmony and not required:
            return None
        lark = Lark(self._special, self._ends)
        opener = self.family.opener
        calls = self.family.calls(tools, parallel, lark)
        begun = f"{lark.literal(opener)} {calls}" if opener else calls
        if required:
            main = begun
        elif answer is not None:
            main = f"({begun} | {lark.rule(answer)})"
        else:
            # Text that looks like reasoning is reasoning, and text that looks like a call is one: llguidance reads on
            # with the longest terminal, and never goes back to another.
            beginning = lark.not_beginning(self.family.lead(tools))
            if self._think is not None and not self._thinks_already(prompt):
                beginning += lark.not_beginning_with(self._think[0])
            until = lark.any_text(opener, beginning=beginning) if opener else ""
            main = f"({lark.text_without(opener, beginning=beginning)} | {until} {calls})"
        return lark.text(f"{self._thought(lark, prompt)} {main}")

    def heads(self, tools: Sequence[OfferedTool]) -> list[CallHead | None]:
        """How calls of each of ``tools`` begin; None where one cannot be followed."""
        return [self.family.head(tool) for tool in tools]

    @property
    def spellings(self) -> dict[int, str]:
        """What the visible special tokens stand for in the text."""
        return {token: self._names[token] for token in self.visible_ids}

    def _thought(self, lark: Lark, prompt: Sequence[int]) -> str:
        if isinstance(self.family, Harmony):
            head, tail = "<|channel|>analysis<|message|>", "<|end|>"
            return f"({lark.literal(head)} {lark.any_text(tail)} {lark.literal('<|start|>assistant')})?"
        if self._think is None:
            return ""
        opener, closer = self._think
        thought = f"{lark.any_text(closer)} {lark.rule(_BLANK, terminal=True)}"
        return thought if self._thinks_already(prompt) else f"({lark.literal(opener)} {thought})?"

    def _thinks_already(self, prompt: Sequence[int]) -> bool:
        if self._think is None:
            return False
        tail = b"".join(
            self._tokenizer.token_bytes(token) or self._names.get(token, "").encode()
            for token in prompt[-_TAIL_TOKENS:]
        )
        return tail.decode(errors="replace").rstrip().endswith(self._think[0])

    def _rendered(self, messages: list[Message], tools: list[dict[str, Any]], variables: Mapping[str, Any]) -> str:
        first: ChatTemplateError | None = None
        for arrange in _ARRANGEMENTS if self._keeps_system else _ARRANGEMENTS[1:]:
            try:
                return self._template.render(arrange(messages), tools=tools, **variables)
            except ChatTemplateError as error:
                first = first or error
        assert first is not None
        raise first

    def _shaped(self, messages: Sequence[Message]) -> list[Message]:
        """The messages as the family's templates read them, and as this one does where it differs."""
        shaped = self.family.messages(messages)
        if self._quotes_arguments:
            shaped = [with_parsed_arguments(message) for message in shaped]
        if self._shows_calls() is None:
            written = self.family.written if isinstance(self.family, Granite) else as_text
            shaped = [written(message) if message.get("tool_calls") else message for message in shaped]
        return shaped

    def _shows_tools(self) -> bool:
        """Whether the template shows tools and their results: one that does not would drop them in silence."""
        parameters = {"type": "object", "properties": {}}
        tool = {"type": "function", "function": {"name": _PROBE, "description": "", "parameters": parameters}}
        call = {"id": _ID, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        result: list[Message] = [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": _PROBE, "tool_call_id": _ID, "name": "f"},
        ]
        return self._shows([{"role": "user", "content": "a"}], [tool]) and self._shows(self.family.messages(result), [])

    def _shows_calls(self) -> bool | None:
        """Whether the template shows earlier calls in the form that the family reads; None: it does not show them at all."""
        shown = self._with_a_call
        if isinstance(self.family, Harmony):
            return True
        if _PROBE in shown:
            return self.family.opener in shown
        return None if isinstance(self.family, Hermes | Granite) else False

    @cached_property
    def _quotes_arguments(self) -> bool:
        """Whether the template writes arguments as JSON itself, text of JSON too."""
        return f'\\"{_PROBE}\\"' in self._with_a_call

    @cached_property
    def _with_a_call(self) -> str:
        """What follows the user's words where an earlier answer is a call with the probe in its arguments."""
        function = {"name": "f", "arguments": json.dumps({_PROBE: 1})}
        called: list[Message] = [
            {"role": "user", "content": _WORDS},
            {"role": "assistant", "content": "", "tool_calls": [{"id": _ID, "type": "function", "function": function}]},
            {"role": "tool", "content": "", "tool_call_id": _ID, "name": "f"},
        ]
        try:
            return self._template.render(self.family.messages(called)).rpartition(_WORDS)[2]
        except ChatTemplateError:
            return ""

    @cached_property
    def _keeps_system(self) -> bool:
        """Whether the template shows a system message in the middle of a conversation."""
        roles = ("system", "user", "assistant", "system", "user")
        return self._shows([{"role": role, "content": _PROBE if at == 3 else "a"} for at, role in enumerate(roles)], [])

    def _shows(self, messages: Sequence[Message], tools: list[dict[str, Any]]) -> bool:
        try:
            return _PROBE in self._template.render(messages, tools=tools)
        except ChatTemplateError:
            return False


def _variables(effort: str | None) -> dict[str, Any]:
    """What templates of different families ask for about reasoning."""
    if effort is None:
        return {}
    thinks = effort not in _LITTLE
    return {"enable_thinking": thinks, "thinking": thinks, "reasoning_effort": _EFFORTS.get(effort, effort)}
