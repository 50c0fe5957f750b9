"""Lark text, read and written: what a user's grammar may not name, and the pieces our own grammars are put together from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from dovetail.serve.types import Whitespace

FLEXIBLE_SPACE = r" |\n( {0,24}|\t{0,12})"
_STRINGS = re.compile(r'"(?:\\.|[^"\\\n])*"|/(?![/*])(?:\\.|[^/\\\n])+/|//[^\n]*|#[^\n]*')
_TOKEN_ID = re.compile(r"<\[")
_RULE = re.compile(r"^[ \t]*[!?]?[A-Za-z_][\w\-]*[^:\n\"/]*:", re.MULTILINE)


def names_tokens(grammar: str) -> bool:
    """Whether a Lark grammar refers to tokens by their ids (``<[123]>``)."""
    return _TOKEN_ID.search(_STRINGS.sub('""', grammar)) is not None


def rules(grammar: str) -> int:
    """About how many rules and terminals a Lark grammar defines: never fewer than there are."""
    return len(_RULE.findall(_STRINGS.sub('""', grammar)))


def literal(text: str) -> str:
    """``text`` as a Lark string; nothing for an empty text, which Lark does not have."""
    return json.dumps(text, ensure_ascii=False) if text else ""


def json_options(whitespace: Whitespace, *, lenient: bool = False) -> dict[str, Any]:
    """llguidance's options for JSON: white space that cannot run away, and nothing ignored unless asked for."""
    options: dict[str, Any] = {
        "item_separator": ",",
        "key_separator": ":",
        "whitespace_flexible": False,
        "coerce_one_of": lenient,
        "lenient": lenient,
    }
    if whitespace == "flexible":
        options |= {"whitespace_flexible": True, "whitespace_pattern": FLEXIBLE_SPACE}
    return options


def json_rule(schema: Mapping[str, Any], whitespace: Whitespace = "flexible", *, lenient: bool = False) -> str:
    """A prepared JSON schema as a Lark expression."""
    options = json_options(whitespace, lenient=lenient)
    return "%json " + json.dumps({**schema, "x-guidance": options}, ensure_ascii=False)


def one_of(alternatives: Sequence[str]) -> str:
    """Lark expressions as one group of alternatives."""
    return "(" + " | ".join(alternatives) + ")"
