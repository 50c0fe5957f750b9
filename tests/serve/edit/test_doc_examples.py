"""The worked examples of docs/edits.md: read from the page, parsed, applied, and put through the constraint."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from byte_pairs import vocabulary
from formats import NAMES, compiled, git_applied
from test_format_states import _bytewise

from dovetail.serve.edit.apply import apply_edits
from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.types import EditFormat, SourceFile

PAGE = Path(__file__).parents[3] / "docs" / "edits.md"
EXAMPLES = {
    name: text
    for name, fence, text in re.findall(
        r"<!-- example: ([\w ]+) -->\n(```|~~~)\w*\n(.*?\n)\2\n", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
}
FILE = SourceFile("calc.py", EXAMPLES["before"])


def _written(name: EditFormat) -> str:
    """What a model writes in the example."""
    return EXAMPLES["numberless unified_diff"].replace("~~~", "```") if name == "unified_diff" else EXAMPLES[name]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_gives_what_the_page_says(name: EditFormat) -> None:
    state, markers = compiled(name, [FILE])
    end = _bytewise(_written(name), state)
    assert end is not None
    assert end.may_end()
    for text, read in ((_written(name), FORMATS[name].read), (EXAMPLES[name], FORMATS[name].read_foreign)):
        after = apply_edits([FILE], read(text, [FILE], markers))
        assert after.changed[0].content == EXAMPLES["after"]
        assert FORMATS[name].messages([FILE], "x", markers, FORMATS[name].operations)[0]["role"] == "system"
        if name == "unified_diff":
            assert after.patch == EXAMPLES["unified_diff"]
    assert vocabulary().encode(EXAMPLES[name])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "whole_file"])
def test_operations_as_the_page_writes_them(name: EditFormat) -> None:
    files = [FILE, SourceFile("old.py", "")]
    text = EXAMPLES[f"operations {name}"].replace("~~~", "```")
    state, markers = compiled(name, files, operations=FORMATS[name].operations)
    end = _bytewise(text, state)
    assert end is not None
    assert end.may_end()
    after = apply_edits(files, FORMATS[name].read(text, files, markers))
    found = {new.path: new.content for _, new in after.pairs if new is not None}
    whole = "delete" in FORMATS[name].operations
    assert set(found) == {"tests/test_sums.py", *(["sums.py"] if whole else ["calc.py", "old.py"])}
    assert found["tests/test_sums.py"] == "import sums\n"
    expected = {"apply_patch": ("import os", "import sys"), "str_replace": ("import os\n", "import os\nimport sys\n")}
    assert found["sums.py" if whole else "calc.py"] == FILE.content.replace(*expected.get(name, ("", "")))
    assert git_applied(files, after.patch) == found


@pytest.mark.parametrize("name", NAMES)
def test_a_prompts_own_example_is_well_formed(name: EditFormat) -> None:
    """The example in the system message passes the constraint over the file that it seems to be about."""
    file = SourceFile("src/example.py", "import os\n\n\ndef area(r):\n    return 3 * r * r\n")
    hunk = SourceFile("src/example.py", "import os\ndef area(r):\n    return 3 * r * r\n")
    given = hunk if name in ("apply_patch", "unified_diff") else file
    state, markers = compiled(name, [given])
    system = FORMATS[name].messages([given], "x", markers, ())[0]["content"]
    begin = {"apply_patch": "*** Begin", "unified_diff": "```diff", "str_replace": "{"}.get(name, "src/example.py\n")
    example = system[system.index(begin) :].partition("\n\n" if name != "whole_file" else "\n\nCopy")[0] + "\n"
    end = _bytewise(example, state)
    assert end is not None, example
    assert end.may_end()
