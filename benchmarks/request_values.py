"""Values that are wrong, huge, deep or hostile, and what is dear by the field that takes it. Knows no endpoint."""

from __future__ import annotations

import random
from collections.abc import Callable
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


def deep(levels: int, kind: str = "list") -> Any:
    """Lists or objects within each other."""
    value: Any = 1
    for _ in range(levels):
        value = [value] if kind == "list" else {"a": value}
    return value


def _many(chance: random.Random, least: int = 0, most: int = 6) -> int:
    """A power of ten; the large ones are rare, so that there is time for the others."""
    sizes = range(least, most + 1)
    return 10 ** chance.choices(sizes, [5.0 ** -max(0, size - 2) for size in sizes])[0]


NASTY: tuple[Make, ...] = (
    lambda chance: None,
    lambda chance: chance.choice(
        [True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**70), 10**300, 1e308, 5e-324, 0.1, -0.0]
    ),
    lambda chance: chance.choice(
        ["", " ", "\x00", "\ufeff", "\ud7ff", "\U0010ffff", "é" * 50, "../../x", "a\r\nb\rc", "{{", "<|im_end|>", "%s"]
    ),
    lambda chance: chance.choice("ax\n ({[<\"'\\/*#\t") * _many(chance, 1),
    lambda chance: (
        chance.choice(
            ["/*\n", "x => ", "}-", "a.b(", "<a>", "((", "\\", "**/", "*?", "(a*)*", "- - ", "if x:\n", "- a\n "]
        )
        * (_many(chance, 1, 5))
    ),
    lambda chance: [chance.choice([1, "a", None, {}, []])] * _many(chance),
    lambda chance: list(range(_many(chance))),
    lambda chance: [str(number) for number in range(_many(chance, 0, 5))],
    lambda chance: {str(number): chance.choice([1, "a", None, {}]) for number in range(_many(chance, 0, 5))},
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
    names = " | ".join(f"r{each}" for each in range(number))
    embedded = "\n".join(
        f'r{each}: %json {{"type": "object", "properties": {{"p{each}": {{}}}}}}' for each in range(number)
    )
    rules = "\n".join(f'r{each}: "a" r{each + 1} | "b" r{each + 1}' for each in range(number))
    return chance.choice(
        [
            f'start: r0\n{rules}\nr{number}: "c"',
            "start: start start | /a/ |",
            f"start: {names}\n{embedded}",
            "start: A0\n" + "\n".join(f"A{each}: A{each + 1} A{each + 1}" for each in range(40)) + '\nA40: "x"',
            "start: A\nA: " + " & ".join(f"/(?s:.*)w{each}(?s:.*)/" for each in range(14)),
            f"start: /{_regex(chance)}/",
            'start: "a"~' + str(10 ** chance.randint(0, 9)),
            'start: ("a"' * min(number, 900) + ")" * min(number, 900),
        ]
    )


def _policy(chance: random.Random) -> Any:
    globs = [
        "**/" * chance.choice([1, 50]) + "*a" * chance.choice([1, 20]) + str(each)
        for each in range(chance.choice([1, 100, 500]))
    ]
    names = ["*a" * chance.choice([1, 20]) + str(each) for each in range(chance.choice([1, 100, 500]))]
    rules = range(chance.choice([1, 1, 20]))
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
    "choice": lambda chance: [str(each) * 20 for each in range(_many(chance, 0, 5))],
    "policy": _policy,
    "files": _files,
    "tools": lambda chance: [
        {**TOOL, "function": {**TOOL["function"], "name": f"f{each}"}} for each in range(chance.choice([1, 130, 2000]))
    ],  # type: ignore[dict-item]
    "stop": lambda chance: chance.choice([["ab"] * 10_000, ["ab" * 5000] * 4, ["ab" * 5000] * 16, ["a"]]),
    "logit_bias": lambda chance: {
        str(each): chance.choice([0, 100, -100, 101]) for each in range(chance.choice([1, 300, 300, 300, 300, 100_000]))
    },
    "messages": lambda chance: [
        {"role": chance.choice(["user", "assistant"]), "content": "a"} for _ in range(_many(chance, 0, 5))
    ],
    "text": lambda chance: EDIT * _many(chance, 0, 4),
}
"""What is dear, by the field that takes it."""
