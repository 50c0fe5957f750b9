"""Bodies for every endpoint, and what is done to them: values that are wrong, huge, deep or hostile, at random places. Sends nothing."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

Make = Callable[[random.Random], Any]

FILE = {"path": "calc.py", "content": "def add(a, b):\n    return a + b\n"}
EDIT = "calc.py\n<<<<<<< SEARCH\ndef add(a, b):\n=======\ndef plus(a, b):\n>>>>>>> REPLACE\n"
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}, "b": {"$ref": "#/$defs/n"}},
    "$defs": {"n": {"type": "integer"}},
}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}
SAMPLING = {"max_tokens": 20, "temperature": 0.5, "top_p": 0.9, "seed": 1, "stop": ["x"], "logit_bias": {"65": 1}}
POLICY = {
    "version": 1,
    "paths": {"allow": ["**"], "protect": ["*.lock"]},
    "imports": [{"id": "i", "paths": ["**"], "forbid": ["os.*"]}],
    "calls": [{"id": "c", "forbid": ["eval*"]}],
    "limits": {"files": 3, "changed_lines": 100},
    "api": {"freeze": ["**/*.py"]},
    "protected": [{"path": "calc.py", "first_line": 2, "last_line": 2}],
    "findings": {"rules": [], "without": []},
}

BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "1", "content": "r"},
        ],
        "tools": [TOOL],
        "tool_choice": "auto",
        "response_format": None,
        "n": 1,
        "stream": False,
        "logprobs": True,
        "top_logprobs": 2,
        "metadata": {"a": "b"},
        "prediction": {"type": "content", "content": "abc"},
        **SAMPLING,
    },
    "/v1/completions": {
        "prompt": ["a", "b"],
        "echo": False,
        "suffix": None,
        "best_of": 1,
        "regex": None,
        "choice": None,
        **SAMPLING,
    },
    "/v1/responses": {
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}],
        "instructions": "i",
        "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}],
        "text": {"format": {"type": "text"}},
        "max_output_tokens": 20,
        "store": True,
        "metadata": {},
    },
    "/v1/messages": {
        "model": "tiny",
        "max_tokens": 20,
        "system": "s",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
        "tools": [{"name": "f", "input_schema": SCHEMA}],
        "stop_sequences": ["x"],
    },
    "/v1/edits": {
        "instruction": "Rename",
        "files": [FILE],
        "format": "blocks",
        "syntax": "each",
        "protected": [{"path": "calc.py", "first_line": 2, "last_line": 2}],
        "operations": [],
        "policy": POLICY,
        "max_tokens": 50,
    },
    "/v1/edits/apply": {
        "text": EDIT,
        "files": [FILE],
        "format": "blocks",
        "syntax": "each",
        "policy": POLICY,
        "render": "apply_patch",
    },
    "/infill": {
        "input_prefix": "a",
        "input_suffix": "b",
        "input_extra": [{"filename": "f", "text": "t"}],
        "prompt": "",
        **SAMPLING,
    },
    "/tokenize": {"prompt": "abc"},
    "/detokenize": {"tokens": [1, 2, 3]},
    "/v1/messages/count_tokens": {"model": "tiny", "messages": [{"role": "user", "content": "a"}]},
    "/v1/responses/input_tokens": {"input": "a"},
    "/v1/conversations": {"items": [{"type": "message", "role": "user", "content": "a"}], "metadata": {}},
}


def deep(levels: int, kind: str = "list") -> Any:
    """Lists or objects within each other."""
    value: Any = 1
    for _ in range(levels):
        value = [value] if kind == "list" else {"a": value}
    return value


def _many(size: int) -> int:
    return 10**size


NASTY: tuple[Make, ...] = (
    lambda chance: None,
    lambda chance: chance.choice(
        [True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**70), 10**300, 1e308, 5e-324, 0.1, -0.0]
    ),
    lambda chance: chance.choice(
        ["", " ", "\x00", "\ufeff", "\ud7ff", "\U0010ffff", "é" * 50, "../../x", "a\r\nb\rc", "{{", "<|im_end|>", "%s"]
    ),
    lambda chance: chance.choice("ax\n ({[<\"'\\/*#\t") * _many(chance.randint(1, 6)),
    lambda chance: (
        chance.choice(
            ["/*\n", "x => ", "}-", "a.b(", "<a>", "((", "\\", "**/", "*?", "(a*)*", "- - ", "if x:\n", "- a\n "]
        )
        * (_many(chance.randint(1, 5)))
    ),
    lambda chance: [chance.choice([1, "a", None, {}, []])] * _many(chance.randint(0, 6)),
    lambda chance: list(range(_many(chance.randint(0, 6)))),
    lambda chance: [str(number) for number in range(_many(chance.randint(0, 5)))],
    lambda chance: {str(number): chance.choice([1, "a", None, {}]) for number in range(_many(chance.randint(0, 5)))},
    lambda chance: deep(chance.choice([2, 30, 60, 100, 126, 127, 128, 200, 700]), chance.choice(["list", "dict"])),
    lambda chance: {
        "type": chance.choice(["object", "array", "string", "text", "function", "json_schema", 1, None, "image_url"])
    },
    lambda chance: {"$ref": chance.choice(["#", "#/$defs/n", "#/$defs/missing", "http://x/y", "#/%zz"])},
)


def _schema(chance: random.Random) -> Any:
    """A JSON schema that may be dear."""
    number = chance.choice([0, 1, 5, 100, 5000, 10**6, 2**40])
    return chance.choice(
        [
            {"type": "string", "minLength": number},
            {"type": "string", "maxLength": number},
            {"type": "string", "pattern": _regex(chance)},
            {"type": "array", "items": SCHEMA, "minItems": number, "maxItems": number},
            {
                "type": "integer",
                "minimum": -number,
                "maximum": number,
                "multipleOf": chance.choice([1, 7, 997, 1_000_003]),
            },
            {"type": "number", "multipleOf": chance.choice([0.1, 0.01, 1e-9, 3.3])},
            {"enum": [str(each) for each in range(min(number, 10**5))]},
            {"anyOf": [{"const": each} for each in range(min(number, 10**4))]},
            {"allOf": [{"type": "string", "pattern": _regex(chance)} for _ in range(min(number, 50))]},
            {"type": "object", "properties": {f"p{each}": {"type": "string"} for each in range(min(number, 5000))}},
            {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}},
            {"type": "object", "patternProperties": {_regex(chance): {"type": "string"}}},
        ]
    )


def _regex(chance: random.Random) -> str:
    number = chance.choice([1, 10, 1000, 100_000, 10**9])
    return chance.choice(
        [
            "(a|b|ab)*c" * min(number, 100),
            f"a{{{number}}}",
            f"(a{{1,{number}}}){{1,{number}}}",
            "(a*)*" * min(number, 1000),
            "[^a]" * min(number, 10_000),
            "(.*a){20}",
            "\\p{L}{1,200}",
            "(" * min(number, 1000) + "a" + ")" * min(number, 1000),
            "(?=a)b",
            ".*(a|b).{500}",
        ]
    )


def _lark(chance: random.Random) -> str:
    number = chance.choice([1, 50, 900, 5000])
    rules = "\n".join(f'r{each}: "a" r{each + 1} | "b" r{each + 1}' for each in range(number))
    return chance.choice(
        [
            f'start: r0\n{rules}\nr{number}: "c"',
            "start: start start | /a/ |",
            f"start: /{_regex(chance)}/",
            'start: "a"~' + str(10 ** chance.randint(0, 9)),
            'start: ("a"' * min(number, 900) + ")" * min(number, 900),
        ]
    )


def _policy(chance: random.Random) -> Any:
    globs = [
        "**/" * chance.choice([1, 50, 160]) + "*a" * chance.choice([1, 20]) + str(each)
        for each in range(chance.choice([1, 100, 500]))
    ]
    names = ["*a" * chance.choice([1, 20, 200]) + str(each) for each in range(chance.choice([1, 100, 500]))]
    rules = range(chance.choice([1, 20, 200]))
    return {
        **POLICY,
        "paths": {"allow": ["**"], "protect": globs},
        "imports": [{"id": f"i{each}", "paths": ["**", *globs[:499]], "forbid": names} for each in rules],
        "calls": [{"id": f"c{each}", "paths": ["**", *globs[:499]], "forbid": names} for each in rules],
    }


def _files(chance: random.Random) -> Any:
    """Files that are many, long or hostile."""
    kinds = [
        "py",
        "js",
        "ts",
        "tsx",
        "go",
        "rs",
        "java",
        "c",
        "cpp",
        "cs",
        "rb",
        "php",
        "sh",
        "json",
        "yaml",
        "toml",
        "html",
        "css",
        "txt",
        "h",
    ]
    unit = chance.choice(
        ["/*\n", "x => ", "}-", "x)", "x=>", "a\n", "def f(): pass\n", "\r", "<a>", "- - ", "[", "{\n", "a: b\n", "é"]
    )
    size = chance.choice([10, 500, 4000, 20_000])
    count = chance.choice([1, 1, 3, 200])
    return [
        {"path": f"f{each}.{chance.choice(kinds)}", "content": unit * (size // count + 1)} for each in range(count)
    ] + [FILE]


DEAR: dict[str, Make] = {
    "response_format": lambda chance: {"type": "json_schema", "json_schema": {"name": "s", "schema": _schema(chance)}},
    "format": lambda chance: {"type": "json_schema", "name": "s", "schema": _schema(chance)},
    "parameters": _schema,
    "input_schema": _schema,
    "regex": _regex,
    "grammar": _lark,
    "choice": lambda chance: [str(each) * 20 for each in range(_many(chance.randint(0, 5)))],
    "policy": _policy,
    "files": _files,
    "tools": lambda chance: [
        {**TOOL, "function": {**TOOL["function"], "name": f"f{each}"}} for each in range(chance.choice([1, 130, 2000]))
    ],  # type: ignore[dict-item]
    "stop": lambda chance: ["ab" * chance.choice([1, 5000]) for _ in range(chance.choice([1, 4, 16, 10_000]))],
    "logit_bias": lambda chance: {
        str(each): chance.choice([0, 100, -100, 101]) for each in range(chance.choice([1, 300, 200_000]))
    },
    "messages": lambda chance: [
        {"role": chance.choice(["user", "assistant"]), "content": "a"} for _ in range(_many(chance.randint(0, 5)))
    ],
    "text": lambda chance: EDIT * _many(chance.randint(0, 4)),
}
"""What is dear, by the field that takes it."""


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place within a body."""
    if at:
        yield at
    if isinstance(value, dict | list) and len(at) < 12 and len(value) < 50:
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(each, (*at, key))


def request(chance: random.Random) -> tuple[str, bytes]:
    """An endpoint and a body, damaged in one to three places."""
    endpoint = chance.choice(sorted(BODIES))
    body = copy.deepcopy(BODIES[endpoint])
    if chance.random() < 0.3 and "stream" not in body and endpoint.startswith("/v1/"):
        body["stream"] = True
    for _ in range(chance.choice([0, 1, 1, 1, 2, 3])):
        if chance.random() < 0.4:
            wanted = [field for field in DEAR if field in body or chance.random() < 0.1]
            if wanted:
                field = chance.choice(wanted)
                body[field] = DEAR[field](chance)
                continue
        at = chance.choice(list(places(body)))
        holder: Any = body
        for key in at[:-1]:
            holder = holder[key]
        holder[at[-1]] = chance.choice(NASTY)(chance)
    content = json.dumps(body, ensure_ascii=chance.random() < 0.5).encode()
    if chance.random() < 0.03:
        content = content[: chance.randrange(len(content))]
    if chance.random() < 0.02:
        content = b"[" * chance.choice([10, 10**5]) + content
    return endpoint, content
