"""The dialect of models whose template knows no tools: Hermes' tags, explained in the system message."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dovetail.models.dialects.pieces import OfferedTool, template_tool


def explanation(tools: Sequence[OfferedTool]) -> str:
    """What such a model is told of its tools."""
    listed = "\n".join(json.dumps(template_tool(tool)["function"], ensure_ascii=False) for tool in tools)
    example: dict[str, Any] = {"name": "tool-name", "arguments": {"key": "value"}}
    return (
        "You may call tools. Each of these lines describes one, its parameters as a JSON schema:\n"
        f"<tools>\n{listed}\n</tools>\n"
        "To call a tool, write a JSON object with its name and arguments between tags, and nothing after it:\n"
        f"<tool_call>\n{json.dumps(example)}\n</tool_call>"
    )
