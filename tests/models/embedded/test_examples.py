"""Importing the package is light, and the hand-written examples are sound."""

import ast
import subprocess
import sys

from dovetail.models.embedded.examples import EXAMPLES


def test_examples_change_something_and_parse() -> None:
    assert len({e.name for e in EXAMPLES}) == len(EXAMPLES) >= 20
    for example in EXAMPLES:
        assert example.expected != example.content
        ast.parse(example.content)
        ast.parse(example.expected)


def test_import_is_light() -> None:
    code = "import sys; import dovetail.models.embedded; print('torch' in sys.modules, 'tokenizers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
