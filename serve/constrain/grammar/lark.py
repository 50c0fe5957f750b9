"""What can be seen in Lark text without compiling it, and llguidance's options for the JSON in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
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


def unforced(grammar: str) -> str:
    """The same grammar, of which llguidance allows every tokenisation.

    By itself it allows one where the text has no alternative, whatever the model would write: half of what is forced then
    counts as distortion.
    """
    start = {"name": "start", "lark_grammar": '%llguidance {"no_forcing": true}\nstart: @grammar'}
    [inner] = json.loads(grammar)["grammars"] if grammar.startswith('{"grammars"') else [{"lark_grammar": grammar}]
    return json.dumps({"grammars": [start, {**inner, "name": "grammar"}]})


def json_options(whitespace: Whitespace, *, lenient: bool = False) -> dict[str, Any]:
    """llguidance's options for JSON: white space that cannot run away, nothing ignored. ``lenient``: oneOf is anyOf."""
    options: dict[str, Any] = {
        "item_separator": ",",
        "key_separator": ":",
        "whitespace_flexible": False,
        "coerce_one_of": lenient,
        "lenient": False,
    }
    if whitespace == "flexible":
        options |= {"whitespace_flexible": True, "whitespace_pattern": FLEXIBLE_SPACE}
    return options


def json_rule(schema: Mapping[str, Any], whitespace: Whitespace = "flexible", *, lenient: bool = False) -> str:
    """A prepared JSON schema as a Lark expression."""
    options = json_options(whitespace, lenient=lenient)
    return "%json " + json.dumps({**schema, "x-guidance": options}, ensure_ascii=False)
