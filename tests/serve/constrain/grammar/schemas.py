"""JSON schemas of growing nastiness: written by hand, and from a seeded generator."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

WORDS = (
    "name",
    "größe",
    "a b",
    'quo"te',
    "back\\slash",
    "new\nline",
    "x",
    "日本",
    "🙂",
    "$ref",
    "",
    "/",
    "~",
    "\x01",
    "</s>",
)
PATTERNS = (
    "^[a-z]{2,5}$",
    "^(foo|bar)+$",
    "ab",
    "^\\d{3}-\\d{4}$",
    '^[^"\\\\]{0,4}$',
    "x?y+z*$",
    "^$",
    "[A-Fa-f0-9]{8}",
)
FORMATS = ("date", "ipv4", "ipv6", "uuid", "email", "hostname", "date-time", "time", "duration", "uri", "int32")
DIALECTS = (
    ("$defs", "https://json-schema.org/draft/2020-12/schema"),
    ("$defs", "https://json-schema.org/draft/2019-09/schema"),
    ("definitions", "http://json-schema.org/draft-07/schema#"),
    *[("$defs", None)] * 5,
)


class Generator:
    """Random schemas; ``depth`` bounds how deep, and so how nasty, they are."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._old = False

    def schema(self, depth: int) -> Schema:
        """A whole schema, sometimes with definitions and recursion."""
        key, dialect = self.random.choice(DIALECTS)
        self._old = dialect not in (None, DIALECTS[0][1])
        made = self.value(depth)
        if dialect is not None:
            tree = {
                "type": "object",
                "properties": {
                    "value": self.value(1),
                    "next": {"anyOf": [{"type": "null"}, {"$ref": f"#/{key}/tree"}]},
                },
                "required": ["value", "next"],
                "additionalProperties": False,
            }
            made = {
                "$schema": dialect,
                "type": "object",
                "properties": {"tree": {"$ref": f"#/{key}/tree"}, "rest": made},
                "required": ["tree"],
                key: {"tree": tree, "unused": {"not": {}}},
            }
        return made

    def value(self, depth: int) -> Schema:
        """One subschema."""
        leaves: list[Callable[[], Schema]] = [self.string, self.number, self.integer, self.constant, self.simple]
        if depth <= 0:
            return self.random.choice(leaves)()
        inner: list[Callable[[int], Schema]] = [
            self.object,
            self.object,
            self.array,
            self.tuple,
            self.any_of,
            self.all_of,
        ]
        if self.random.random() < 0.25:
            return self.random.choice(leaves)()
        return self.random.choice(inner)(depth - 1)

    def simple(self) -> Schema:
        return self.random.choice(
            [{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {"type": ["integer", "boolean"]}]
        )

    def string(self) -> Schema:
        kind = self.random.randrange(4)
        if kind == 0:
            return {"type": "string", "pattern": self.random.choice(PATTERNS)}
        if kind == 1:
            return {"type": "string", "format": self.random.choice(FORMATS)}
        least = self.random.randrange(4)
        most = least + self.random.randrange(5)
        return {"type": "string", "minLength": least, "maxLength": most} if kind == 2 else {"type": "string"}

    def integer(self) -> Schema:
        low = self.random.randrange(-1000, 1000)
        bounds: Schema = {"type": "integer"}
        if self.random.random() < 0.5:
            bounds[self.random.choice(["minimum", "exclusiveMinimum"])] = low
        if self.random.random() < 0.5:
            bounds[self.random.choice(["maximum", "exclusiveMaximum"])] = low + self.random.randrange(20, 5000)
        if self.random.random() < 0.2:
            bounds["multipleOf"] = self.random.choice([2, 3, 7, 10])
        return bounds

    def number(self) -> Schema:
        low = round(self.random.uniform(-50, 50), self.random.randrange(4))
        bounds: Schema = {"type": "number"}
        if self.random.random() < 0.5:
            bounds[self.random.choice(["minimum", "exclusiveMinimum"])] = low
        if self.random.random() < 0.5:
            bounds[self.random.choice(["maximum", "exclusiveMaximum"])] = low + self.random.choice([1.5, 10, 999.25])
        return bounds

    def constant(self) -> Schema:
        values = [*WORDS, 0, -1, 3.25, True, None, [], {}, {"a": [1, {"b": None}]}, ["x", 2]]
        if self.random.random() < 0.4:
            return {"const": self.random.choice(values)}
        return {"enum": self.random.sample(values, self.random.randrange(1, 6))}

    def object(self, depth: int) -> Schema:
        names = self.random.sample(WORDS, self.random.randrange(5))
        made: Schema = {"type": "object", "properties": {name: self.value(depth) for name in names}}
        if names:
            made["required"] = self.random.sample(names, self.random.randrange(len(names) + 1))
        more = self.random.random()
        if more < 0.5:
            made["additionalProperties"] = False
        elif more < 0.7:
            made["additionalProperties"] = self.value(depth - 1)
        elif more < 0.8:
            made["patternProperties"] = {"^p_[a-z]+$": self.value(depth - 1)}
            made["additionalProperties"] = False
        return made

    def array(self, depth: int) -> Schema:
        least = self.random.randrange(3)
        made: Schema = {"type": "array", "items": self.value(depth), "minItems": least}
        if self.random.random() < 0.7:
            made["maxItems"] = least + self.random.randrange(3)
        return made

    def tuple(self, depth: int) -> Schema:
        first = [self.value(depth) for _ in range(self.random.randrange(1, 4))]
        if self._old:
            return {"type": "array", "items": first, "additionalItems": False, "minItems": len(first)}
        return {
            "type": "array",
            "prefixItems": first,
            "items": self.random.choice([False, {"type": "integer"}]),
            "minItems": len(first),
        }

    def any_of(self, depth: int) -> Schema:
        if self.random.random() < 0.3:
            return {
                "oneOf": [
                    {
                        "type": "object",
                        "properties": {"kind": {"const": kind}, "value": self.value(depth)},
                        "required": ["kind", "value"],
                        "additionalProperties": False,
                    }
                    for kind in ("a", "b", "é")
                ]
            }
        return {"anyOf": [self.value(depth) for _ in range(self.random.randrange(1, 4))]}

    def all_of(self, depth: int) -> Schema:
        left, right = self.object(depth), self.object(depth)
        left.pop("additionalProperties", None), right.pop("additionalProperties", None)
        left.pop("patternProperties", None), right.pop("patternProperties", None)
        for name in set(left["properties"]) & set(right["properties"]):
            del right["properties"][name]
        return {"allOf": [left, right]}


def _nested(depth: int) -> Schema:
    made: Schema = {"type": "string", "maxLength": 3}
    for level in range(depth):
        if level % 2:
            made = {"type": "array", "items": made, "minItems": 1, "maxItems": 1}
        else:
            made = {"type": "object", "properties": {"n": made}, "required": ["n"], "additionalProperties": False}
    return made


_BOOLEAN_DEFS: Schema = {"$defs": {"yes": True, "text": {"type": "string", "maxLength": 2}}}

HANDWRITTEN: list[Schema | bool] = [
    {},
    True,
    {"type": "object"},
    {"type": "array", "maxItems": 2},
    {"type": "object", "additionalProperties": False},
    {"type": "object", "properties": {"a": False}},
    {"type": "object", "properties": {"a": True}, "required": ["a"]},
    {"type": "object", "required": ["b"], "maxProperties": 1},
    {"type": "object", "minProperties": 1, "maxProperties": 2, "additionalProperties": {"type": "integer"}},
    {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"], "minProperties": 1},
    {"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": {"type": "boolean"}},
    {"type": "object", "dependentRequired": {}, "dependencies": {}, "unevaluatedProperties": True},
    {"type": "array", "uniqueItems": False, "items": {"type": "integer"}, "maxItems": 3},
    {"type": "array", "uniqueItems": True, "maxItems": 1},
    {"if": {"type": "string"}, "type": "integer"},
    {"type": "string", "nullable": True, "x-order": 3, "description": "d", "examples": [1], "default": 3},
    {"x-guidance": {"lenient": True, "whitespace_pattern": "[ ]{9}"}, "type": "object", "additionalProperties": False},
    {"const": 'ünïcödé \u0000 \u001f "\\/ \u2028 🙂'},
    {"enum": ["", "a", "ab", "abc", "abcd", None, 0, -0.5, [], {}, "null"]},
    {"enum": [f"value {number}" for number in range(5000)]},
    {"enum": ["\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), "\t\r\n\b\f"]},
    {"type": "string", "enum": ["x", 1, None]},
    {"enum": [{"a": 1, "b": [True]}, [[[]]]]},
    {"type": "string", "pattern": "^[A-Zé]{2,3}$"},
    {"type": "string", "pattern": "^\\w+\\s\\d+$", "maxLength": 12},
    {"type": "string", "pattern": "^a{2,4}$", "minLength": 3},
    {"type": "string", "minLength": 3, "maxLength": 3},
    {"allOf": [{"type": "string", "pattern": "^a"}, {"pattern": "b$"}, {"maxLength": 6}]},
    {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 12}, {"multipleOf": 3}]},
    {"allOf": [{"$ref": "#/$defs/text"}, {"minLength": 1}], **_BOOLEAN_DEFS},
    {"type": "integer", "minimum": 0, "maximum": 0},
    {"type": "integer", "exclusiveMinimum": -3, "exclusiveMaximum": -1},
    {"type": "number", "minimum": 0.1, "maximum": 0.11},
    {"type": "number", "multipleOf": 0.25, "minimum": 0, "maximum": 2},
    {"type": "integer", "multipleOf": 997},
    {"type": "number", "exclusiveMinimum": 0},
    {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "integer",
        "minimum": 3,
        "exclusiveMinimum": True,
        "maximum": 9,
    },
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "boolean"}], "items": False, "minItems": 1},
    {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "array",
        "items": [{"type": "null"}],
        "additionalItems": False,
    },
    {"type": "array", "minItems": 12, "maxItems": 12, "items": {"type": "boolean"}},
    {"oneOf": [{"type": "string", "maxLength": 2}, {"type": "integer"}, {"type": "null"}]},
    {"anyOf": [{"type": "string", "maxLength": 2}, {"type": "string", "pattern": "^z+$"}]},
    {
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
        "type": "object",
        "properties": {"a": {"type": "null"}, "b": {"type": "null"}},
    },
    {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2}},
                "required": ["kids"],
                "additionalProperties": False,
            }
        },
        "$ref": "#/$defs/node",
    },
    {"$id": "https://example.com/s", "$defs": {"t": {"$anchor": "here", "type": "boolean"}}, "$ref": "#here"},
    {
        "$id": "https://example.com/s",
        "$defs": {"t": {"$id": "t", "type": "null"}},
        "type": "array",
        "items": {"$ref": "t"},
        "maxItems": 2,
    },
    {
        "properties": {"a/b": {"type": "null"}, "c~d": {"$ref": "#/properties/a~1b"}},
        "required": ["c~d"],
        "type": "object",
        "additionalProperties": False,
    },
    {"definitions": {"unused": {"not": {}, "contains": {}}}, "type": "boolean"},
    {
        "type": "object",
        "patternProperties": {"^[a-c]$": {"type": "integer"}, "^[x-z]$": {"type": "null"}},
        "additionalProperties": False,
    },
    _nested(6),
    _nested(15),
    {
        "type": "object",
        "properties": {f"p{number}": {"type": "boolean"} for number in range(60)},
        "additionalProperties": False,
    },
    *({"type": "string", "format": name} for name in FORMATS),
]

UNSUPPORTED: list[tuple[Schema | bool, str]] = [
    (False, "#"),
    ({"not": {"type": "string"}}, "#/not"),
    ({"type": "object", "properties": {"a": {"not": {}}}}, "#/properties/a/not"),
    ({"type": "array", "items": {"type": "array", "uniqueItems": True}}, "#/items/uniqueItems"),
    ({"type": "array", "contains": {"type": "null"}}, "#/contains"),
    ({"anyOf": [{}, {"if": {}, "then": {}}]}, "#/anyOf/1/if"),
    ({"type": "object", "dependentRequired": {"a": ["b"]}}, "#/dependentRequired"),
    ({"type": "object", "dependencies": {"a": ["b"]}}, "#/dependencies"),
    ({"type": "object", "dependentSchemas": {"a": {}}}, "#/dependentSchemas"),
    ({"type": "object", "propertyNames": {"maxLength": 3}}, "#/propertyNames"),
    ({"type": "object", "unevaluatedProperties": False}, "#/unevaluatedProperties"),
    ({"type": "array", "unevaluatedItems": False}, "#/unevaluatedItems"),
    ({"type": "object", "minProperties": 2}, "#/minProperties"),
    ({"type": "integer", "multipleOf": 1e9}, "#/multipleOf"),
    ({"$dynamicRef": "#x"}, "#/$dynamicRef"),
    ({"$recursiveRef": "#"}, "#/$recursiveRef"),
    ({"properties": {"a/b": {"type": "string", "format": "iri"}}}, "#/properties/a~1b/format"),
    ({"$defs": {"d": {"not": {}}}, "properties": {"a": {"$ref": "#/$defs/d"}}}, "#/$defs/d/not"),
    ({"properties": {"a": {"type": "string", "pattern": "(?=a)b"}}}, "#/properties/a"),
    ({"properties": {"a": {"items": {"pattern": "["}}}}, "#/properties/a/items"),
    ({"items": {"oneOf": [{"type": "number"}, {"type": "integer"}]}}, "#/items"),
    ({"properties": {"a": {"patternProperties": {"^a": {}, "^ab": {}}}}}, "#/properties/a"),
    ({"properties": {"a": {"type": "strin"}}}, "#/properties/a"),
    ({"properties": {"a": {"$ref": "#/nowhere"}}}, "#/properties/a"),
    ({"properties": {"a": {"$ref": "https://example.com/other"}}}, "#/properties/a"),
    ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "#"),
    ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "#"),
]
"""Schemas that cannot be enforced, or satisfied, and the place that the refusal names."""
