"""From a specification to the grammar text that llguidance compiles, and the refusals a client can act on."""

from __future__ import annotations

import json
import re
from typing import Any

from llguidance import LLMatcher

from dovetail.serve.constrain.grammar.lark import json_options, names_tokens, rules
from dovetail.serve.constrain.grammar.limits import (
    COMPILE_SECONDS,
    MAX_CHOICES,
    MAX_RULES,
    MAX_SOURCE_CHARACTERS,
)
from dovetail.serve.constrain.grammar.places import complaint, located, loosen, trimmed
from dovetail.serve.constrain.grammar.schema import Prepared, SchemaError, prepare, shown
from dovetail.serve.errors import UserError
from dovetail.serve.types import GrammarSpec, Whitespace

_LONGEST = 400
_REGEX_ERROR = re.compile(r"^error: (.+)$", re.MULTILINE)


def refused(spec: GrammarSpec, reason: str, code: str = "invalid_grammar") -> UserError:
    """The 400 for a grammar that cannot be used."""
    return UserError(f"{spec.param}: {reason}.", code=code, param=spec.param)


def took_too_long(spec: GrammarSpec) -> UserError:
    """The 400 for a grammar whose compilation was given up."""
    return refused(spec, f"compiling it took more than {COMPILE_SECONDS:.0f} s", "grammar_too_complex")


def grammar_text(spec: GrammarSpec) -> str:
    """What llguidance compiles. Raises UserError 400 for what can be seen without compiling."""
    if len(spec.source) > MAX_SOURCE_CHARACTERS:
        reason = f"it has {len(spec.source)} characters, and may have {MAX_SOURCE_CHARACTERS}"
        raise refused(spec, reason, "grammar_too_large")
    match spec.kind:
        case "json_object":
            return _json({"type": "object"}, spec.whitespace)
        case "json_schema":
            return _json(prepared_schema(spec).schema, spec.whitespace)
        case "regex":
            return LLMatcher.grammar_from_regex(spec.source)
        case "choice":
            return LLMatcher.grammar_from_regex("|".join(map(_escaped, _choices(spec))))
        case "lark":
            return LLMatcher.grammar_from_lark(_lark(spec))


def prepared_schema(spec: GrammarSpec) -> Prepared:
    """The schema of ``spec``. Raises UserError 400 naming the place of the first keyword that cannot be enforced."""
    try:
        prepared = prepare(spec.source)
    except SchemaError as error:
        raise refused(spec, f"at {error}", "invalid_json_schema") from error
    if prepared.unsupported and not spec.lenient:
        path, why = prepared.unsupported[0]
        raise refused(spec, f"at {path}: {path.rpartition('/')[2]} {why}", "unsupported_json_schema")
    if spec.lenient:
        loosen(prepared)
    return prepared


def left_out(spec: GrammarSpec) -> list[str]:
    """The keywords of a lenient schema that are not enforced, as JSON pointers."""
    return [path for path, _ in prepared_schema(spec).unsupported] if spec.kind == "json_schema" else []


def check_grammar(spec: GrammarSpec) -> None:
    """Everything that can be wrong with a grammar whatever the vocabulary. Raises UserError 400. To be run in threads.py."""
    message = complaint(grammar_text(spec))
    if message:
        raise explained(spec, message)


def explained(spec: GrammarSpec, message: str) -> UserError:
    """llguidance's complaint as a 400, with the place in the schema where it has one."""
    if message.startswith("panic:"):
        return refused(spec, "the compiler could not take it; make it simpler", "grammar_too_complex")
    regex_error = _REGEX_ERROR.search(message)
    core = trimmed(message)
    reason = f"regular expression: {regex_error[1]}" if regex_error else " ".join(core.split()).rstrip(".")
    if len(reason) > _LONGEST:
        reason = f"{reason[: _LONGEST // 2]} ... {reason[-_LONGEST // 2 :]}"
    if spec.kind != "json_schema":
        return refused(spec, reason)
    place = located(prepared_schema(spec), core)
    code = "invalid_json_schema" if reason.startswith("Unsatisfiable") else "unsupported_json_schema"
    return refused(spec, f"at {shown(place)}: {reason}", code)


def _json(schema: dict[str, Any], whitespace: Whitespace) -> str:
    text = json.dumps(schema, ensure_ascii=False)
    return LLMatcher.grammar_from_json_schema(text, overrides=json_options(whitespace))  # type: ignore[arg-type]


def _choices(spec: GrammarSpec) -> list[str]:
    choices = json.loads(spec.source)
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, str) for choice in choices):
        raise refused(spec, "it must be a list of at least one string")
    if len(choices) > MAX_CHOICES:
        raise refused(spec, f"it has {len(choices)} choices, and may have {MAX_CHOICES}", "grammar_too_large")
    return choices


def _escaped(choice: str) -> str:
    return re.sub(r"[\\.+*?()|\[\]{}^$#&\-~/ ]", lambda match: "\\" + match[0], choice).replace("\n", "\\n")


def _lark(spec: GrammarSpec) -> str:
    if (count := rules(spec.source)) > MAX_RULES:
        raise refused(spec, f"it has {count} rules, and may have {MAX_RULES}", "grammar_too_large")
    if not spec.special_tokens and names_tokens(spec.source):
        raise refused(spec, "it names tokens by id (<[...]>), which only text may be matched by here")
    return spec.source
