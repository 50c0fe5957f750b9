"""A served model with a real tokenizer, a chat template and its dialect, for tests whose engine is a script."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dovetail.models.chat import ChatTemplate
from dovetail.models.dialects.dialect import ModelDialect
from dovetail.models.errors import ChatTemplateError
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.api.served import ChatMessage, OfferedTool, ServedModel
from dovetail.serve.errors import UserError

TEMPLATE = """{%- for tool in tools or [] %}<tool>{{ tool | tojson }}
{% endfor %}{% for message in messages %}<|{{ message.role }}|>{{ message.reasoning_content or '' }}{{ message.content }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}
{% endfor %}{% if reasoning_effort is defined %}effort {{ reasoning_effort }}{% endif %}
{#- <think> #}"""


def tool_model(directory: Path, template: str = TEMPLATE, **changes: Any) -> ServedModel:
    tokenizer = Tokenizer.load(directory)
    dialect = ModelDialect(tokenizer, ChatTemplate(template, "test", tokenizer, {}))

    def render(messages: list[ChatMessage], tools: Sequence[OfferedTool] = (), effort: str | None = None) -> list[int]:
        try:
            return dialect.prompt(messages, tools, effort)
        except ChatTemplateError as error:
            raise UserError(str(error), param="messages") from error

    settings: dict[str, Any] = {"name": "tiny", "created": 1, "max_model_len": 100_000, **changes}
    return ServedModel(codec=tokenizer, render_chat=render, dialect=dialect, **settings)


def pieces(text: str) -> list[str]:
    """Text in the pieces that tokens make: words, spaces, signs."""
    return re.findall(r"\w+|\s+|[^\w\s]", text)
