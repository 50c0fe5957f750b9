"""Structured outputs on the wire: ``response_format``, ``regex``, ``grammar`` and ``choice`` as one grammar, checked.

Checked means that everything is known to be right but how it meets the model's vocabulary, which the engine finds out.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from functools import partial
from typing import Annotated, Any

from pydantic import Field

from dovetail.serve.api.sampling import SamplingFields
from dovetail.serve.constrain.grammar.checks import Check
from dovetail.serve.constrain.grammar.compile import checked
from dovetail.serve.constrain.grammar.limits import COMPILE_SECONDS, MAX_CHOICES
from dovetail.serve.constrain.grammar.source import took_too_long
from dovetail.serve.constrain.grammar.threads import GrammarThreads
from dovetail.serve.errors import UserError
from dovetail.serve.types import GrammarSpec

_REMEMBERED = 256
_SCHEMA = "response_format.json_schema"
_ENDING_FIELDS = ("min_tokens", "ignore_eos", "stop_token_ids")


class StructuredFields(SamplingFields):
    """What an output must look like: OpenAI's ``response_format``, or one of our own three."""

    response_format: dict[str, Any] | None = None
    regex: Annotated[str, Field(min_length=1)] | None = None
    grammar: Annotated[str, Field(min_length=1)] | None = None
    choice: Annotated[list[str], Field(min_length=1, max_length=MAX_CHOICES)] | None = None


class ThreadChecks:
    """A Check in threads of this process: what takes too long is given up, but not ended."""

    def __init__(self) -> None:
        self._threads = GrammarThreads()

    async def __call__(self, spec: GrammarSpec) -> list[str]:
        """See Check."""
        future = self._threads.submit(partial(checked, spec))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), COMPILE_SECONDS)
        except TimeoutError as error:
            raise took_too_long(spec) from error


class Grammars:
    """Has grammars checked, and remembers the latest that were right."""

    def __init__(self, check: Check | None = None) -> None:
        self._check = check if check is not None else ThreadChecks()
        self._right: OrderedDict[GrammarSpec, list[str]] = OrderedDict()

    async def wanted(self, fields: StructuredFields) -> tuple[GrammarSpec | None, list[str]]:
        """What ``fields`` ask for, checked, and what of it is left out. Raises UserError 400."""
        spec = grammar_of(fields)
        if spec is None:
            return None, []
        return spec, await self.held(spec, fields)

    async def held(self, spec: GrammarSpec | None, fields: SamplingFields) -> list[str]:
        """Raise UserError 400 unless an answer to ``fields`` can be held to ``spec``; returns what of it is left out."""
        if spec is None:
            return []
        refuse_other_endings(fields)
        return list(await self.checked(spec))

    async def checked(self, spec: GrammarSpec) -> list[str]:
        """Raise UserError 400 unless ``spec`` compiles; returns the keywords of its schema that are left out."""
        if spec in self._right:
            self._right.move_to_end(spec)
            return self._right[spec]
        pointers = await self._check(spec)
        ignored = [path.replace("#", spec.param, 1).replace("/", ".") for path in pointers]
        self._right[spec] = ignored
        if len(self._right) > _REMEMBERED:
            self._right.popitem(last=False)
        return ignored


def grammar_of(fields: StructuredFields) -> GrammarSpec | None:
    """What the fields ask for, not yet checked; None for free text. Raises UserError for two wishes at once."""
    specs = {
        "response_format": _response_format(fields.response_format),
        "regex": GrammarSpec(kind="regex", source=fields.regex, param="regex") if fields.regex else None,
        "grammar": GrammarSpec(kind="lark", source=fields.grammar, param="grammar") if fields.grammar else None,
        "choice": GrammarSpec(kind="choice", source=json.dumps(fields.choice), param="choice")
        if fields.choice
        else None,
    }
    wanted = {name: spec for name, spec in specs.items() if spec is not None}
    if len(wanted) > 1:
        names = " and ".join(wanted)
        raise UserError(
            f"{names} cannot be used together: an output keeps to one of them.",
            code="invalid_value",
            param=list(wanted)[1],
        )
    return next(iter(wanted.values()), None)


def refuse_other_endings(fields: SamplingFields) -> None:
    """Raise for sampling fields that decide where an output ends: under a grammar, the grammar decides that."""
    for name in _ENDING_FIELDS:
        if getattr(fields, name):
            raise UserError(
                f"{name} cannot be used together with a structured output, which ends where it is complete.",
                code="unsupported_parameter",
                param=name,
            )


def schema_spec(schema: Any, *, param: str, strict: bool | None = None) -> GrammarSpec:
    """A JSON schema from the wire. ``strict`` false: keywords that cannot be enforced are left out, and named."""
    if not isinstance(schema, dict | bool):
        raise _wrong(param, "must be a JSON schema, an object")
    source = json.dumps(schema, ensure_ascii=False)
    return GrammarSpec(kind="json_schema", source=source, param=param, lenient=strict is False)


def _response_format(wire: dict[str, Any] | None) -> GrammarSpec | None:
    kind = wire.get("type") if wire is not None else "text"
    if wire is None or kind == "text":
        return None
    if kind == "json_schema":
        return _json_schema(wire.get("json_schema"))
    if kind != "json_object":
        raise _wrong("response_format.type", 'must be "text", "json_object" or "json_schema"')
    if wire.get("schema") is not None:  # as llama.cpp's server takes it
        return schema_spec(wire["schema"], param="response_format.schema")
    return GrammarSpec(kind="json_object")


def _json_schema(wire: Any) -> GrammarSpec:
    if not isinstance(wire, dict):
        raise _wrong(_SCHEMA, "must be an object with a name and a schema")
    for name, kind, what in (("name", str, "a string"), ("strict", bool, "true or false")):
        if wire.get(name) is not None and not isinstance(wire[name], kind):
            raise _wrong(f"{_SCHEMA}.{name}", f"must be {what}")
    if wire.get("schema") is None:
        raise UserError(f"{_SCHEMA}.schema is required.", code="missing_field", param=f"{_SCHEMA}.schema")
    return schema_spec(wire["schema"], param=f"{_SCHEMA}.schema", strict=wire.get("strict"))


def _wrong(path: str, what: str) -> UserError:
    return UserError(f"{path} {what}.", code="invalid_value", param=path)
