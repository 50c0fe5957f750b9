"""The console's files: all of them in the list, nothing from elsewhere, nothing that its policy would have to forbid."""

from __future__ import annotations

import re

import pytest

from dovetail.serve.api.console.pages import POLICY
from dovetail.serve.console.files import FILES, FOLDER, PATHS, asset

TEXTS = {name: (FOLDER / name).read_text(encoding="utf-8") for name in FILES}
SCRIPTS = [name for name in FILES if name.endswith(".js")]
FORBIDDEN = {
    "markup from strings": r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser",
    "code from strings": r"\beval\(|new Function|setTimeout\(\s*[\"'`]|javascript:",
    "a key that outlives the tab": r"localStorage\.setItem\((?!THEME,)|document\.cookie|indexedDB",
    "style in markup": r"setAttribute\(\s*[\"']style|[\s{]style:",
}


def test_the_list_is_what_is_there() -> None:
    assert {file.name for file in FOLDER.iterdir()} == set(FILES)
    assert list(FILES) == sorted(FILES)
    assert set(PATHS) == {"/", *(f"/console/{name}" for name in FILES if name != "index.html")}


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_another_host(name: str) -> None:
    text = TEXTS[name].replace("http://www.w3.org/2000/svg", "")  # the name of a language, asked of nobody
    assert not re.findall(r"(?i)(?:https?:|wss?:|ftp:)?//[a-z0-9.-]+\.[a-z]{2,}", text)
    assert not re.findall(r"@import|url\(|data:[a-z]+/", text)


def test_the_page_has_no_script_and_no_style_of_its_own() -> None:
    page = TEXTS["index.html"]
    assert not re.findall(r"<style|\sstyle=|\son[a-z]+=", page)
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]
    named = set(re.findall(r'(?:src|href)="(/[^"]*)"', page))
    assert named <= set(PATHS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_import_files_of_the_list_and_make_no_markup(name: str) -> None:
    text = TEXTS[name]
    assert set(re.findall(r'from "\./([^"]+)"', text)) <= set(FILES)
    for what, pattern in FORBIDDEN.items():
        assert not re.search(pattern, text), what


def test_every_script_and_style_is_used() -> None:
    used = set(re.findall(r"/console/([a-z.]+)", TEXTS["index.html"]))
    while (
        more := {each for name in used if name in TEXTS for each in re.findall(r'from "\./([^"]+)"', TEXTS[name])}
        - used
    ):
        used |= more
    assert used | {"index.html"} == set(FILES)


def test_the_policy_allows_files_of_this_server_alone() -> None:
    directives = dict(each.split(" ", 1) for each in POLICY.split("; "))
    assert directives["default-src"] == "'none'"
    assert "unsafe" not in POLICY and "*" not in POLICY and "http" not in POLICY
    assert directives["require-trusted-types-for"] == "'script'"
    assert directives["frame-ancestors"] == "'none'"


def test_a_tag_changes_with_the_content() -> None:
    assert len({asset(name).tag for name in FILES}) == len(FILES)
