"""Small source files in every language of the syntax gate, made difficult: the input of edit_fuzz.py. Knows no server."""

from __future__ import annotations

import random
from collections.abc import Callable

Rng = random.Random

SOURCES: dict[str, tuple[str, str]] = {
    "python": (
        "pkg/mod.py",
        'import os\n\n\ndef area(width, height=2):\n    """Area.\n\n    Formula\n    =======\n    w * h\n    """\n'
        "    if width < 0:\n        raise ValueError(width)\n    return width * height\n\n\nclass Box:\n    size = 1\n\n"
        "    def grow(self, by):\n        self.size += by\n        return self.size\n\n\nx = 1\nmax_x = 1\nx = 1\n",
    ),
    "javascript": (
        "src/app.js",
        "import fs from 'fs';\n\nexport function total(items) {\n  let sum = 0;\n  for (const item of items) {\n"
        "    sum += item.value;\n  }\n  return sum;\n}\n\nconst names = ['a', `b${1 + 1}`];\nconst names2 = ['a'];\n",
    ),
    "typescript": (
        "src/user.ts",
        "interface User {\n  id: number;\n  name?: string;\n}\n\nexport class Store<T extends User> {\n"
        "  private items: T[] = [];\n\n  add(item: T): void {\n    this.items.push(item);\n  }\n}\n",
    ),
    "tsx": (
        "src/view.tsx",
        "export function View(props: { title: string }) {\n  return (\n    <div className='view'>\n      <h1>{props.title}</h1>\n"
        "      <p>text</p>\n      <p>text</p>\n    </div>\n  );\n}\n",
    ),
    "go": (
        "cmd/main.go",
        'package main\n\nimport "fmt"\n\nfunc add(a int, b int) int {\n\treturn a + b\n}\n\nfunc main() {\n'
        '\tfmt.Println(add(1, 2))\n\tfmt.Println("done")\n}\n',
    ),
    "rust": (
        "src/lib.rs",
        "pub struct Point {\n    pub x: f64,\n    pub y: f64,\n}\n\nimpl Point {\n    pub fn norm(&self) -> f64 {\n"
        '        (self.x * self.x + self.y * self.y).sqrt()\n    }\n}\n\nfn main() {\n    println!("{}", 1);\n}\n',
    ),
    "java": (
        "src/Main.java",
        "class Main {\n    private int count = 0;\n\n    int next() {\n        count++;\n        return count;\n    }\n\n"
        '    public static void main(String[] args) {\n        System.out.println("hi");\n    }\n}\n',
    ),
    "c": (
        "src/list.c",
        "#include <stdio.h>\n\nstatic int add(int a, int b)\n{\n\treturn a + b;\n}\n\nint main(void)\n{\n"
        '\tprintf("%d\\n", add(1, 2));\n\treturn 0;\n}\n',
    ),
    "cpp": (
        "src/list.cpp",
        "#include <vector>\n\ntemplate <typename T>\nclass Stack {\npublic:\n    void push(const T& value) { items_.push_back(value); }\n"
        "    bool empty() const { return items_.empty(); }\n\nprivate:\n    std::vector<T> items_;\n};\n",
    ),
    "json": (
        "conf/app.json",
        '{\n  "name": "app",\n  "port": 80,\n  "tags": ["a", "b"],\n  "nested": {\n    "port": 80,\n    "deep": null\n  }\n}\n',
    ),
    "bash": (
        "bin/run.sh",
        '#!/usr/bin/env bash\nset -eu\n\ngreet() {\n  local name="$1"\n  echo "hello ${name}"\n}\n\nfor n in a b c; do\n'
        '  greet "$n"\ndone\n\nif [ -f x ]; then\n  cat <<EOF2\ntext\nEOF2\nfi\n',
    ),
    "ruby": (
        "lib/box.rb",
        "require 'set'\n\nclass Box\n  attr_reader :size\n\n  def initialize(size = 1)\n    @size = size\n  end\n\n"
        "  def grow(by)\n    @size += by if by > 0\n    puts <<~TEXT\n      size #{@size}\n    TEXT\n    @size\n  end\nend\n",
    ),
    "php": (
        "web/index.php",
        "<html>\n<?php\nfunction total(array $items): int {\n    $sum = 0;\n    foreach ($items as $item) {\n"
        '        $sum += $item["value"];\n    }\n    return $sum;\n}\necho total([]);\n?>\n</html>\n',
    ),
    "csharp": (
        "src/Box.cs",
        "using System;\n\nnamespace Shop\n{\n    public class Box\n    {\n        public int Size { get; set; } = 1;\n\n"
        '        public void Say() => Console.WriteLine($"{Size}");\n    }\n}\n',
    ),
    "yaml": (
        "conf/app.yaml",
        "name: app\nports:\n  - 80\n  - 443\nnested:\n  port: 80\n  text: |\n    one\n    two\ntags: [a, b]\n",
    ),
    "toml": ("conf/app.toml", '[app]\nname = "app"\nport = 80\n\n[app.deep]\nport = 80\ntags = ["a", "b"]\n'),
    "css": ("web/app.css", "body {\n  color: red;\n}\n\n.box > p {\n  color: red;\n  margin: 0 1px;\n}\n"),
    "html": (
        "web/page.html",
        "<!DOCTYPE html>\n<html>\n<body>\n  <h1 class='x'>Title</h1>\n  <p>text</p>\n  <p>text</p>\n</body>\n</html>\n",
    ),
    "off": (
        "notes/read me.txt",
        "Notes\n=======\n\n<<<<<<< SEARCH\nline\n>>>>>>> REPLACE\nline\nline\n\u00fcml\u00e4ut \U0001f600\n",
    ),
}
"""language -> (path, content); ``off`` is text without a grammar."""


def crlf(content: str, rng: Rng) -> str:
    """Windows line ends."""
    del rng
    return content.replace("\n", "\r\n")


def mixed_line_ends(content: str, rng: Rng) -> str:
    """Windows line ends here and there."""
    return "".join(rng.choice([line, line, line[:-1] + "\r\n"]) for line in content.splitlines(keepends=True))


def no_final_newline(content: str, rng: Rng) -> str:
    """The last line ends with the file."""
    del rng
    return content.rstrip("\n")


def byte_order_mark(content: str, rng: Rng) -> str:
    """A byte order mark in front."""
    del rng
    return "\ufeff" + content


def tabs(content: str, rng: Rng) -> str:
    """Tabs for indentation."""
    del rng
    return content.replace("    ", "\t")


def repeated(content: str, rng: Rng) -> str:
    """A stretch of lines once more: ambiguous quotes."""
    lines = content.splitlines(keepends=True)
    start = rng.randrange(len(lines))
    end = rng.randrange(start, len(lines)) + 1
    return content + "\n" + "".join(lines[start:end])


def whole_twice(content: str, rng: Rng) -> str:
    """Everything twice."""
    del rng
    return content + content


def empty(content: str, rng: Rng) -> str:
    """Nothing at all."""
    del content, rng
    return ""


def one_line(content: str, rng: Rng) -> str:
    """A single line."""
    return rng.choice([line for line in content.splitlines(keepends=True) if line.strip()])


def broken(content: str, rng: Rng) -> str:
    """A file that does not parse to begin with."""
    at = rng.randrange(len(content))
    return content[:at] + rng.choice(["(", "}", '"', " = = ", "if if"]) + content[at:]


def same_lines(content: str, rng: Rng) -> str:
    """One line many times over."""
    return one_line(content, rng) * rng.randrange(2, 30)


def blank_lines(content: str, rng: Rng) -> str:
    """Blank lines and trailing blanks strewn in."""
    return "".join(line + rng.choice(["", "", "\n", "   \n"]) for line in content.splitlines(keepends=True))


def as_is(content: str, rng: Rng) -> str:
    """Untouched."""
    del rng
    return content


KINDS: tuple[Callable[[str, Rng], str], ...] = (
    as_is,
    as_is,
    crlf,
    mixed_line_ends,
    no_final_newline,
    byte_order_mark,
    tabs,
    repeated,
    whole_twice,
    empty,
    one_line,
    broken,
    same_lines,
    blank_lines,
)


def nasty_file(rng: Rng) -> tuple[str, str, str, str]:
    """(language, kind, path, content) of one file, sometimes with two difficulties at once."""
    language = rng.choice(list(SOURCES))
    path, content = SOURCES[language]
    kind = rng.choice(KINDS)
    content = kind(content, rng)
    if content and rng.random() < 0.3:
        content = rng.choice((crlf, no_final_newline, byte_order_mark, blank_lines))(content, rng)
    return language, kind.__name__, path, content
