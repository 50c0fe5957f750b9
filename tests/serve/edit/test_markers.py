"""Markers that no file can be confused with, and the prompt that shows them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dovetail.serve.edit.formats.blocks.markers import check_markers, choose_markers, closing_run
from dovetail.serve.edit.formats.blocks.prompt import edit_messages
from dovetail.serve.types import Markers, SourceFile

LINES = st.text(alphabet="<>= \rRx", max_size=12) | st.sampled_from(["=======", ">>>>>>> REPLACE", "<<<<<<< SEARCH"])


@given(st.lists(LINES, max_size=12))
def test_chosen_markers_are_no_lines_and_keep_every_line_writable(lines: list[str]) -> None:
    files = [SourceFile("a", "\n".join(lines[:6])), SourceFile("b", "\n".join(lines[6:]))]
    markers = choose_markers(files)
    check_markers(markers, files)
    assert not any(line.startswith(closing_run(markers.replace)) for line in lines)
    assert markers.divider not in [line.rstrip() for line in lines]
    assert choose_markers(files) == markers


def test_the_usual_markers_where_they_do() -> None:
    assert choose_markers([SourceFile("a", "x\n==\n========\n")]) == Markers()
    assert choose_markers([SourceFile("a", "=======\n========")]).divider == "=" * 9


def test_closing_run() -> None:
    assert closing_run(">>>>>>> REPLACE") == ">>>>>>>"
    assert closing_run("END") == "END"


def test_prompt() -> None:
    files = [SourceFile("a.md", "````\nx"), SourceFile("b.py", "")]
    markers = Markers("<<< S", "===", ">>> R")
    system, user = edit_messages(files, "Do {it}.", markers)
    assert [system["role"], user["role"]] == ["system", "user"]
    assert all(f"\n{marker}\n" in system["content"] for marker in ("<<< S", "===", ">>> R"))
    assert user["content"] == "a.md\n`````\n````\nx\n`````\n\nb.py\n```\n```\n\nDo {it}."
