"""Every block of code in the documentation is one that is run, read by a real loader, or says why it is not."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest
from documentation.blocks import DATA, NEEDS, ROOT, SHELLS, Block, pages, parse_blocks, read_blocks
from documentation.commands import dovetail_commands, parse
from documentation.loaders import LOADERS
from documentation.reader import unlike

from dovetail.serve.config.server import SETTINGS
from dovetail.serve.config.sources import load_config

BLOCKS = [block for page in pages() for block in read_blocks(page)]
FOREIGN = frozenset({"docs/clients.md"})
"""Pages whose data is of other programs."""
_A_COMMAND = re.compile(
    r"^\s*(\$ |dovetail [a-z]|\.venv/bin/|make [a-z]|curl |pip install|docker |kubectl |git |openssl )", re.MULTILINE
)


def each(blocks: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", blocks, ids=[block.place for block in blocks])


def test_every_block_says_what_it_is() -> None:
    allowed = SHELLS | DATA | {"python", "text", "diff", "yaml", "ini", "promql"}
    unknown = [block.place for block in BLOCKS if block.language not in allowed and "example" not in block.marks]
    assert unknown == [], (
        "code stands in a fence that names its language: sh, console, python, toml, json, or text for what is none"
    )


def test_no_command_hides_as_text() -> None:
    hidden = [block.place for block in BLOCKS if block.language == "text" and _A_COMMAND.search(block.text)]
    assert [place for place in hidden if not place.startswith("docs/command-line.md")] == []


def test_what_is_not_run_says_why() -> None:
    for block in BLOCKS:
        if block.needs is not None:
            assert set(block.needs.split(", ")) <= NEEDS, block.place
        for path in block.marks.get("shown by", "").split(", "):
            assert not path or (ROOT / path).exists(), f"{block.place}: {path} is not there"
        assert block.marks.get("loads", "config") in LOADERS, block.place


@each([block for block in BLOCKS if block.language in DATA])
def test_data_can_be_read(block: Block, tmp_path: Path) -> None:
    data = tomllib.loads(block.text) if block.language == "toml" else json.loads(block.text)
    if "loads" in block.marks:
        LOADERS[block.marks["loads"]](block.text, tmp_path)
    else:
        assert block.language == "json" or block.page in FOREIGN, "say which loader reads it: <!-- loads: policy -->"
    assert data


@each([block for block in BLOCKS if block.language == "python"])
def test_programs_are_programs(block: Block) -> None:
    ast.parse(block.text)


@each([block for block in BLOCKS if block.language in SHELLS and "dovetail" in block.text])
def test_commands_take_what_the_page_gives_them(block: Block) -> None:
    for words in dovetail_commands(block.text, block.language):
        name, given = parse(words)
        if name == "serve":
            load_config({each.name: given[each.name] for each in SETTINGS if given[each.name] not in (None, [])}, {})


def test_a_wrong_option_is_found() -> None:
    commands = list(
        dovetail_commands(
            "export A=b  # dovetail x\nC=d .venv/bin/dovetail plan \\\n  --gpus 3 | cat; dovetail card\n", "sh"
        )
    )
    assert commands == [["plan", "--gpus", "3"], ["card"]]
    with pytest.raises(Exception, match="gpus"):
        parse(commands[0])


def test_how_blocks_are_read() -> None:
    text = "a\n\n<!-- needs: gpu; shown by: x -->\n```sh\nls\n```\n\n    indented\n\n- item\n\n    ```sh\n    more\n    ```\n~~~~\n```\n~~~~\n"
    one, two, three, four = parse_blocks(text, "p")
    assert (one.language, one.text, one.marks) == ("sh", "ls\n", {"needs": "gpu", "shown by": "x"})
    assert two.language == "indented" and three.text == "more\n" and (four.language, four.text) == ("", "```\n")
    for wrong in ("```sh\nls\n", "<!-- nees: gpu -->\n```sh\n```\n"):
        with pytest.raises(ValueError, match="p:"):
            parse_blocks(wrong, "p")


def test_output_is_compared_line_by_line() -> None:
    assert unlike(["a ... c", "e"], "a b c\nd\ne\n") is None
    assert unlike(["e", "a ... c"], "a b c\nd\ne\n") == "a ... c"
