"""Colours, and nothing that a terminal would obey."""

from __future__ import annotations

from dovetail.agent.diff import colour_diff, colour_origins, origins_legend

PATCH = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new\x1b[2J\n same\n"


def test_a_diff_keeps_its_text_and_gains_colours() -> None:
    text = colour_diff(PATCH)
    assert text.plain == PATCH.replace("\x1b", "\\x1b")
    styles = {text.plain[span.start : span.end].strip(): span.style for span in text.spans}
    assert (styles["-old"], styles["+new\\x1b[2J"], styles["@@ -1 +1 @@"]) == ("red", "green", "cyan")


def test_origins() -> None:
    text = colour_origins([{"text": "a", "origin": "forced"}, {"text": "b\x07", "origin": "sampled"}])
    assert text.plain == "ab\\x07"
    assert [str(span.style) for span in text.spans] == ["cyan", "bold yellow"]
    legend = origins_legend({"forced": 12}).plain
    assert "forced        12  nothing else was allowed" in legend
    assert legend.count("\n") == 4
