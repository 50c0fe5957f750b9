"""Shows edits in a terminal: a diff in colours, and an output coloured by how its tokens came to be. Computes no diff."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

ORIGIN_STYLES: Mapping[str, str] = {
    "forced": "cyan",
    "drafted": "green",
    "sampled": "bold yellow",
    "resampled": "bold magenta",
}
ORIGIN_MEANINGS: Mapping[str, str] = {
    "forced": "nothing else was allowed",
    "drafted": "proposed from the file, confirmed by the model",
    "sampled": "drawn from the model",
    "resampled": "drawn again after a refusal",
}

_LINE_STYLES = (("+++", "bold"), ("---", "bold"), ("diff ", "bold"), ("@@", "cyan"), ("+", "green"), ("-", "red"))


def colour_diff(patch: str) -> Text:
    """A unified diff with its lines coloured; control characters are shown, never sent to the terminal."""
    text = Text()
    for line in patch.splitlines(keepends=True):
        style = next((style for start, style in _LINE_STYLES if line.startswith(start)), "")
        text.append(visible(line), style=style)
    return text


def colour_origins(tokens: Sequence[Mapping[str, Any]]) -> Text:
    """An output's text, each token in the colour of its origin."""
    text = Text()
    for token in tokens:
        text.append(visible(str(token["text"])), style=ORIGIN_STYLES.get(str(token["origin"]), ""))
    return text


def origins_legend(counts: Mapping[str, Any]) -> Text:
    """One line per origin: its colour, how many tokens, what it means."""
    text = Text()
    for origin, meaning in ORIGIN_MEANINGS.items():
        text.append(f"  {origin:<10}", style=ORIGIN_STYLES[origin])
        text.append(f"{counts.get(origin, 0):>6}  {meaning}\n")
    return text


def visible(text: str) -> str:
    """The text with control characters shown, but for line ends and tabs."""
    return "".join(char if char in "\n\t" or char.isprintable() else f"\\x{ord(char):02x}" for char in text)
