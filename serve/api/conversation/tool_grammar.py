"""What holds an answer's calls to the offered tools: one grammar of free text, or the wanted format, and calls.

The dialect says how calls are written; here their schemas are checked, and the parts put together. Compiles nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from dovetail.serve.api.conversation.conversation import Conversation, Tool
from dovetail.serve.api.sampling import SamplingFields
from dovetail.serve.api.served import Dialect
from dovetail.serve.constrain.grammar.lark import json_rule
from dovetail.serve.constrain.grammar.source import prepared_schema
from dovetail.serve.errors import UserError
from dovetail.serve.types import GrammarSpec


def tool_grammar(
    dialect: Dialect,
    conversation: Conversation,
    prompt: Sequence[int],
    fields: SamplingFields,
    answer: GrammarSpec | None = None,
) -> GrammarSpec | None:
    """The constraint of an answer to ``conversation``; None where nothing can be held.

    Args:
        answer: what the answer is held to where it is no call.

    Raises:
        UserError: a schema that cannot be enforced and must be, or calls that must be made and cannot be held.
    """
    tools = conversation.callable_tools
    required = conversation.tool_choice.mode == "required"
    if not tools:
        return answer
    field = endless(fields)
    if field is not None:
        if required or answer is not None:
            raise UserError(
                f"{field} cannot be used together with calls or formats that must be kept to: they end where they "
                "are complete.",
                code="unsupported_parameter",
                param=field,
            )
        return None
    source = dialect.grammar(
        [_checked(tool, dialect) for tool in tools],
        prompt,
        required=required,
        parallel=conversation.parallel,
        answer=_expression(answer) if answer is not None else None,
    )
    if source is not None:
        return GrammarSpec(kind="lark", source=source, param="tools", special_tokens=dialect.visible_ids)
    if required:
        raise UserError(
            "tool_choice asks for a call, which this model's way of writing calls cannot be held to.",
            code="unsupported_parameter",
            param="tool_choice",
        )
    return answer


def endless(fields: SamplingFields) -> str | None:
    """The field, if there is one, by which an answer ends elsewhere than where it is complete."""
    return next((name for name in ("ignore_eos", "min_tokens", "stop_token_ids") if getattr(fields, name)), None)


def input_grammars(conversation: Conversation) -> list[GrammarSpec]:
    """What the inputs of custom tools are held to, each by itself: so that a refusal names the tool."""
    return [
        GrammarSpec(kind=tool.grammar.syntax, source=tool.grammar.definition, param=tool.path or "tools")
        for tool in conversation.callable_tools
        if tool.grammar is not None
    ]


def _checked(tool: Tool, dialect: Dialect) -> Tool:
    """The tool with its schema as grammars need it."""
    if tool.grammar is not None and tool.grammar.syntax == "lark" and not dialect.plain_inputs:
        raise UserError(
            f"{tool.path or 'tools'}: this model writes inputs inside JSON, where no Lark grammar can hold them; "
            "a regular expression or free text can be used.",
            code="unsupported_parameter",
            param=tool.path or "tools",
        )
    if tool.parameters is None:
        return tool
    source = json.dumps(tool.parameters, ensure_ascii=False)
    spec = GrammarSpec(kind="json_schema", source=source, param=tool.path or "tools", lenient=not tool.strict)
    return replace(tool, parameters=prepared_schema(spec).schema)


def _expression(answer: GrammarSpec) -> str:
    """A format as a Lark expression."""
    match answer.kind:
        case "json_schema":
            return json_rule(prepared_schema(answer).schema, answer.whitespace, lenient=answer.lenient)
        case "json_object":
            return json_rule({"type": "object"}, answer.whitespace)
        case "choice":
            return " | ".join(json.dumps(choice, ensure_ascii=False) for choice in json.loads(answer.source))
        case "lark":
            return f"%lark {{\n{answer.source}\n}}"
        case "regex":
            return f"/{answer.source.replace('/', chr(92) + '/')}/"
