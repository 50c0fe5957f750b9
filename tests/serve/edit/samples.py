"""Files that are unkind to an edit constraint, in every language it knows, and a checker that trusts none of its code."""

from __future__ import annotations

import ast
import warnings
from itertools import pairwise

from tree_sitter import Parser

from dovetail.serve.constrain.syntax.languages import grammar, languages_of
from dovetail.serve.types import Markers, SourceFile

PYTHON = (
    'import os\n\n\ndef first(a, b):\n    """Doc."""\n    return a + b\n\n\n'
    "class K:\n    def m(self):\n        return [x for x in range(3)]\n\n    def n(self):\n        pass\n"
)
SOURCES: dict[str, str] = {
    "plain.py": PYTHON,
    "crlf.py": PYTHON.replace("\n", "\r\n"),
    "tabs.py": "def f():\n\tif 1:\n\t\treturn 2\n\treturn 3\n",
    "open.py": "x = 1\ny = 2\nz = (x,\n     y)",
    "bom.py": "\ufeffx = 1\ny = 'a'\n",
    "rule.py": 'T = """\n=======\n==========\n>>>>>>> REPLACE\n>>>> x\n<<<<<<< SEARCH\n"""\ny = 1\n==1\n'.replace(
        "\n==1", ""
    ),
    "repeat.py": "def f():\n    return 1\n\n\n" * 4 + "def g():\n    return 1\n",
    "equal.py": "x = 1\n" * 9,
    "empty.py": "",
    "one.py": "x = 1",
    "line.py": "x = [" + ", ".join(str(n) for n in range(60)) + "]\n",
    "names.py": "größe = 1\n名前 = größe + 2\nprint(名前, '🎈🎈')\n",
    "overlap.py": "aa = 1\naa = 1\naa = 1\nb = 2\nxaa = 1\naa = 11\n",
    "broken.py": "def f(:\n    return 1\n\nx = 2\ny = )\nz = 3\n",
    "feed.py": "x = 1\n\x0cy = 2\n",
    "dir with space/a.js": "function f(a) {\n  return a ? 1 : 2;\n}\nconst g = () => {\n  f(`x${1}`);\n};\n",
    "a.ts": "interface A { x: number }\nexport function f<T>(a: T): T {\n  return a;\n}\n",
    "a.tsx": "const A = (p: {x: string}) => {\n  return <div a={p.x}>hi</div>;\n};\n",
    "a.go": 'package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.Println("a")\n\tx := 1\n\t_ = x\n}\n',
    "a.rs": 'fn main() {\n    let x = vec![1, 2];\n    match x.len() {\n        0 => {}\n        _ => println!("{}", 1),\n    }\n}\n',
    "A.java": "class A {\n  int x = 1;\n  void f() {\n    if (x > 1) { x++; }\n  }\n}\n",
    "a.c": "#include <stdio.h>\n\nint main(void) {\n  int x = 1;\n  return x;\n}\n",
    "a.h": "#pragma once\nclass A {\n public:\n  template <typename T> T f(T x) { return x; }\n};\n",
    "a.cpp": "#include <vector>\nnamespace n {\nint f() { return 1; }\n}\n",
    "a.json": '{\n  "a": [1, 2, {"b": null}],\n  "c": "d"\n}\n',
    "a.sh": '#!/bin/bash\nif [ -z "$1" ]; then\n  echo "no"\nfi\nf() {\n  ls | wc -l\n}\n',
    "notes.txt": "=======\nfree text\n== x\n========\n\n\ttab\nlast",
    "blank.txt": "\n\n\n\n",
    "marks.md": ">>>>>>> theirs\n<<<<<<< ours\na\n===\n",
}
FILES = {path: SourceFile(path, content) for path, content in SOURCES.items()}


class InvalidOutput(AssertionError):
    """The output breaks a guarantee."""


def check_output(output: bytes, files: list[SourceFile], markers: Markers) -> list[tuple[str, bytes]]:
    """Apply ``output`` by plain string search; returns the changed contents.

    Raises:
        InvalidOutput: the first guarantee that does not hold.
    """
    originals = {file.path: file.content.encode() for file in files}
    edits: dict[str, list[tuple[int, int, bytes]]] = {}
    lines = output.decode().split("\n")
    _require(lines.pop() == "", "the output ends inside a line")
    while lines:
        path = lines.pop(0)
        _require(path in originals and bool(lines) and lines.pop(0) == markers.search, f"head of {path!r}")
        search = _until(lines, lambda line: line == markers.divider)
        replace = _until(lines, lambda line: line.startswith(markers.replace.split(" ")[0]), markers.replace)
        edits.setdefault(path, []).append(_locate(originals[path], search.encode(), replace.encode()))
    return [(path, _applied(path, originals[path], found)) for path, found in edits.items()]


def _until(lines: list[str], stop, exactly: str | None = None) -> str:  # type: ignore[no-untyped-def]
    taken = []
    while lines and not stop(lines[0]):
        taken.append(lines.pop(0) + "\n")
    _require(bool(lines) and exactly in (None, lines[0]), "a block does not end")
    lines.pop(0)
    return "".join(taken)


def _locate(raw: bytes, search: bytes, replace: bytes) -> tuple[int, int, bytes]:
    if not raw:
        _require(search == b"", "text quoted from an empty file")
        return 0, 0, replace
    _require(search != b"", "nothing quoted")
    if search not in raw and raw.endswith(search[:-1]):
        search, replace = search[:-1], replace[:-1]
    places = [index for index in range(len(raw)) if raw.startswith(search, index)]
    _require(len(places) == 1, f"{search!r} is there {len(places)} times")
    start, end = places[0], places[0] + len(search)
    _require(start == 0 or raw[start - 1] == 10, "the quotation begins inside a line")
    _require(end == len(raw) or raw[end - 1] == 10, "the quotation ends inside a line")
    return start, end, replace


def _applied(path: str, raw: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    edits.sort()
    _require(all(a[1] <= b[0] and a[:2] != b[:2] for a, b in pairwise(edits)), "blocks overlap")
    content, position = b"", 0
    for start, end, replace in edits:
        content += raw[position:start] + replace
        position = end
    content += raw[position:]
    if errors(path, raw) == 0:
        _require(errors(path, content) == 0, f"{path} has a syntax error now")
    if path.endswith(".py") and compiles(raw):
        _require(compiles(content), f"{path} does not compile now")
    return content


def errors(path: str, content: bytes) -> int:
    """1 if the best of the path's grammars finds an error, else 0."""
    found = [Parser(grammar(name)).parse(content).root_node.has_error for name in languages_of(path)]
    return int(all(found)) if found else 0


def compiles(content: bytes) -> bool:
    """Whether Python parses it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(content)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise InvalidOutput(reason)
