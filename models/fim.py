"""Fill-in-the-middle: how each family of code models is shown the text around a gap. Found by the special tokens that a
tokenizer really has, never by a model's name. Knows no request and no sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePosixPath
from typing import Literal

from dovetail.models.tokenizer import Tokenizer

ANCHOR = "☺"
"""Put before a text that does not begin the prompt: no merge reaches across it, and it takes the space that
sentencepiece would put before the text."""

PROJECT, UNNAMED = "project", "file"
"""The names of the repository and of the open file, where a layout wants them and the request gives none."""

_COMMENTS = {
    "//": "c cc cpp cs cxx dart go h hpp java js jsx kt m mjs php proto rs scala swift ts tsx zig",
    "--": "hs lua sql elm adb ads",
    ";": "clj el lisp scm asm",
    "%": "erl tex",
}
_LEADERS = {extension: leader for leader, extensions in _COMMENTS.items() for extension in extensions.split()}


@dataclass(frozen=True)
class FimFamily:
    """One layout. ``middle`` empty: the middle simply follows. ``order``: whether the prefix or the suffix comes first.

    ``file`` and ``repo`` begin a file and a repository; without ``file``, other files are shown at the head of the prefix:
    as comments, or (``named``) as they are, below a comment with their path. ``path``: the place of the open file's path
    among other files: ``file path prefix-token``, ``file prefix-token path``, or ``prefix-token file path``. ``ends``: what
    else ends a middle. ``needs``: what else the vocabulary has, by which the layout's models are known.
    """

    name: str
    prefix: str
    suffix: str
    middle: str = ""
    order: Literal["prefix first", "suffix first"] = "prefix first"
    file: str = ""
    repo: str = ""
    repo_end: str = ""
    path: Literal["before", "between", "inside"] = "before"
    named: bool = False
    ends: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def required(self) -> tuple[str, ...]:
        """The tokens without which there is no such layout."""
        return tuple(token for token in (self.prefix, self.suffix, self.middle, *self.needs) if token)

    @property
    def tokens(self) -> tuple[str, ...]:
        """All that it knows."""
        return tuple(token for token in (*self.required, self.file, self.repo, *self.ends) if token)


_PIPED = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
_PLAIN = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
_TURN_ENDS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

FAMILIES: tuple[FimFamily, ...] = (
    FimFamily(
        "qwen",
        *_PIPED,
        file="<|file_sep|>",
        repo="<|repo_name|>",
        repo_end="\n",
        ends=("<|fim_pad|>", "<|file_separator|>", *_TURN_ENDS),
    ),
    FimFamily(
        "granite",
        *_PIPED,
        file="<|filename|>",
        repo="<|reponame|>",
        repo_end="\n",
        path="inside",
        ends=("<|fim_pad|>", "<|end_of_text|>"),
    ),
    FimFamily(
        "starcoder2",
        *_PLAIN,
        file="<file_sep>",
        repo="<repo_name>",
        path="between",
        ends=("<fim_pad>", "<|endoftext|>"),
    ),
    # StarCoder's vocabulary too.
    FimFamily(
        "granite-code",
        *_PLAIN,
        file="<filename>",
        repo="<reponame>",
        path="inside",
        ends=("<fim_pad>", "<gh_stars>", "<|endoftext|>"),
    ),
    FimFamily("codellama", "▁<PRE>", "▁<SUF>", "▁<MID>", ends=("▁<EOT>",)),
    FimFamily(
        "deepseek-coder",
        "<｜fim▁begin｜>",
        "<｜fim▁hole｜>",
        "<｜fim▁end｜>",
        named=True,
        ends=("<|EOT|>", "<｜end▁of▁sentence｜>"),
    ),
    FimFamily("codestral", "[PREFIX]", "[SUFFIX]", order="suffix first", ends=("[MIDDLE]",)),
    # This project's embedded model: the middle continues the prefix, which a model of its size learns at once.
    FimFamily(
        "dovetail",
        *_PIPED[:2],
        order="suffix first",
        file="<|file_sep|>",
        ends=("<|fim_middle|>", *_TURN_ENDS),
        needs=("<|task|>", "<|edit|>"),
    ),
    FimFamily("seed-coder", "<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>", order="suffix first"),
)


class FillInMiddle:
    """Prompts that ask one model for the middle of a text.

    Attributes:
        family: the layout.
        stop_ids: special tokens that end a middle, beside those that end every output.
    """

    def __init__(self, tokenizer: Tokenizer, family: FimFamily) -> None:
        self._tokenizer = tokenizer
        self._anchor = tokenizer.encode(ANCHOR)
        self.family = family
        self.stop_ids = tuple(tokenizer.special[token] for token in family.tokens if token in tokenizer.special)

    @classmethod
    def find(cls, tokenizer: Tokenizer) -> FillInMiddle | None:
        """The layout of which the tokenizer has the most tokens; None: it has none."""

        def known(family: FimFamily) -> int:
            return sum(token in tokenizer.special for token in family.tokens)

        able = [family for family in FAMILIES if all(token in tokenizer.special for token in family.required)]
        return cls(tokenizer, max(able, key=known)) if able else None

    def prompt(
        self,
        prefix: str | Sequence[int],
        suffix: str,
        files: Sequence[tuple[str, str]] = (),
        path: str = "",
        limit: int | None = None,
    ) -> tuple[list[int], bool]:
        """Token ids that end where the middle begins, and whether something was left out to stay within ``limit``.

        Left out are: files, the first ones first; then the head of the prefix and the tail of the suffix.

        Args:
            prefix: what stands before the gap, as text (in which special tokens are text) or as token ids.
            suffix: what stands behind it.
            files: paths and texts of other files, the most important last.
            path: the path of the file with the gap.
            limit: the most tokens that the prompt may have; None: all is shown.
        """
        others = [self._file(*file, path) for file in files]
        behind = self._within(suffix)
        if isinstance(prefix, str):
            prefix = self._within(prefix) if others else self._tokenizer.encode(prefix)
        if limit is None:
            return self._assembled(prefix, behind, others, path), False
        room = max(0, limit - len(self._assembled([], [], [], path)))
        shorter = min(len(behind), max(room // 4, room - len(prefix)))
        longer = min(len(prefix), room - shorter)
        cut = longer < len(prefix) or shorter < len(behind)
        prefix, behind = prefix[len(prefix) - longer :], behind[:shorter]
        chosen = _last_that_fit(others, limit - len(self._assembled(prefix, behind, [[]], path)))
        return self._assembled(prefix, behind, chosen, path), cut or len(chosen) < len(others)

    def _assembled(
        self, prefix: Sequence[int], suffix: Sequence[int], others: Sequence[Sequence[int]], path: str
    ) -> list[int]:
        special, family, tokenizer = self._tokenizer.special, self.family, self._tokenizer
        files = list(chain.from_iterable(others))
        if family.file not in special:
            head, opening = [], files
        elif others:
            before, opening = self._open_file(path or UNNAMED)
            head = [*self._repository(), *files, *before]
        else:
            head, opening = [], []
        first, second = [special[family.prefix], *opening, *prefix], [special[family.suffix], *suffix]
        start = [tokenizer.bos_id] if tokenizer.wants_bos and tokenizer.bos_id is not None else []
        last = [special[family.middle]] if family.middle else []
        around = [*first, *second] if family.order == "prefix first" else [*second, *first]
        return [*start, *head, *around, *last]

    def _within(self, text: str) -> list[int]:
        """Ids of a text that stands behind others."""
        if not self._tokenizer.adds_space:
            return self._tokenizer.encode(text)
        return self._tokenizer.encode(ANCHOR + text)[len(self._anchor) :]

    def _file(self, path: str, text: str, open_path: str) -> list[int]:
        text = text if text.endswith("\n") else text + "\n"
        if self.family.file in self._tokenizer.special:
            return [self._tokenizer.special[self.family.file], *self._within(f"{path}\n{text}")]
        leader = _leader(open_path or path)
        if self.family.named:
            return self._within(f"{leader}{path}\n{text}")
        lines = (f"{leader} {line}".rstrip() for line in f"Path: {path}\n{text}".splitlines())
        return self._within("\n".join(lines) + "\n\n")

    def _open_file(self, path: str) -> tuple[list[int], list[int]]:
        """What says the path of the file with the gap: before the prefix token, and behind it."""
        file, name = self._tokenizer.special[self.family.file], self._within(f"{path}\n")
        if self.family.path == "before":
            return [file, *name], []
        return ([file], name) if self.family.path == "between" else ([], [file, *name])

    def _repository(self) -> list[int]:
        repo = self._tokenizer.special.get(self.family.repo)
        return [] if repo is None else [repo, *self._within(PROJECT + self.family.repo_end)]


def _last_that_fit(others: Sequence[Sequence[int]], room: int) -> Sequence[Sequence[int]]:
    first = len(others)
    while first and len(others[first - 1]) <= room:
        first -= 1
        room -= len(others[first])
    return others[first:]


def _leader(path: str) -> str:
    """What begins a comment in a file of this name."""
    return _LEADERS.get(PurePosixPath(path).suffix.lstrip(".").lower(), "#")
