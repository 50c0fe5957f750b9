"""A call of an edit tool while it is written: which file it is about, what it quotes, and what the files are once it is done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.carrier.new_text import Grammars, NewText, text_of
from dovetail.serve.edit.carrier.quoting import Quoting, Rules
from dovetail.serve.edit.carrier.ruling import PathWatch, Rewriting, RuledText, Ruling
from dovetail.serve.edit.carrier.shown import ShownText
from dovetail.serve.edit.carrier.text_watch import TextWatch, Together
from dovetail.serve.edit.known.chat_blocks import lines_replaced
from dovetail.serve.edit.known.follow import normal
from dovetail.serve.edit.known.patches import file_patches
from dovetail.serve.types import CarrierSpec, CarrierTool, KnownFile

Files = Mapping[str, KnownFile]
"""What is known, by normal path."""


@dataclass(frozen=True, eq=False)
class Texts:
    """Prepares known texts, once per content for all outputs of a vocabulary. ``grammars`` None: new text may be of no language.
    ``ruling``: what a policy says."""

    vocabulary: Vocabulary
    folder: str
    grammars: Grammars | None = None
    ruling: Ruling | None = None

    def shown(self, file: KnownFile, *, in_json: bool) -> ShownText:
        """``file`` as it is quoted from."""
        size, closed = sum(map(len, file.pieces)), self.closed(file)
        return self.vocabulary.derived(
            ("shown", file.pieces, file.whole, in_json, closed),
            lambda: ShownText(file.pieces, whole=file.whole, in_json=in_json, closed=closed),
            size * 16,
        )

    def closed(self, file: KnownFile) -> tuple[tuple[int, int], ...]:
        """The protected lines, first and last from 1, of a file that is known whole."""
        return tuple(self.ruling.project.protected(file)) if self.ruling is not None else ()


def files_of(spec: CarrierSpec) -> dict[str, KnownFile]:
    """The known files by normal path."""
    return {normal(file.path, spec.folder): file for file in spec.files}


@dataclass(frozen=True, eq=False)
class Call:
    """``path``, ``old``, ``new``, ``everywhere``: what the call has said so far. ``quoted``: the tokens of its old text.
    ``listed``: it is in one edit of a list.
    """

    tool: CarrierTool
    texts: Texts
    files: Files
    path: str | None = None
    old: str | None = None
    new: str | None = None
    everywhere: bool | None = None
    command: str | None = None
    listed: bool = False
    quoted: tuple[int, ...] = ()

    @property
    def file(self) -> KnownFile | None:
        """What is known of the file that the call is about."""
        return self.files.get(normal(self.path, self.texts.folder)) if self.path else None

    def quoting(self, *, in_json: bool) -> Quoting | None:
        """How the old text begins; None: nothing is known that it could be held to."""
        file = self.file
        if file is None or (not any(file.pieces) and not file.whole):
            return None
        closer = self.tool.tags[2]
        if closer and any(closer in piece for piece in file.pieces):
            return None  # a reader would take the quoted text to be over
        later = bool(self.tool.everywhere) and self.everywhere is None and not self.tool.everywhere_first
        rules = Rules(
            unique=not self.everywhere and not later,
            lines_unique=later,
            empty=self.tool.empty_old,
        )
        return Quoting(self.texts.shown(file, in_json=in_json), rules)

    def watch(self, parameter: str, *, in_json: bool) -> TextWatch | None:
        """What watches the text of a parameter; None: nothing does.

        Raises:
            Pending: the file is still being read.
        """
        tool, found = self.tool, list[TextWatch]()
        if parameter == tool.new and (grammar := self._new_text(in_json=in_json)) is not None:
            found.append(grammar)
        ruling = self.texts.ruling
        if ruling is not None:
            text = partial(text_of, in_json=in_json)
            if parameter == tool.path and (not tool.command or self.command not in (None, "view")):
                found.append(PathWatch(ruling, text))
            if parameter in (tool.new, tool.content) and (rewriting := self._rewriting(parameter, ruling)) is not None:
                found.append(RuledText(rewriting, text))
        return Together(found) if len(found) > 1 else found[0] if found else None

    def _rewriting(self, parameter: str, ruling: Ruling) -> Rewriting | None:
        file = self.file
        if not self.path or (file is not None and not file.whole):
            return None
        before = file.pieces[0] if file is not None else ""
        if parameter == self.tool.content:
            return Rewriting(ruling, self.path, before, None, everywhere=False, known=file is not None)
        if file is None or not self.old or self.old not in before:
            return None
        return Rewriting(ruling, self.path, before, self.old, everywhere=bool(self.everywhere), known=True)

    def _new_text(self, *, in_json: bool) -> NewText | None:
        grammars, file = self.texts.grammars, self.file
        if grammars is None or file is None or not self.old or self.everywhere:
            return None
        return NewText.begun(grammars, file, self.old, in_json=in_json)

    def says(self, parameter: str, value: str) -> Call:
        """With a parameter's text."""
        tool = self.tool
        if parameter == tool.path:
            return replace(self, path=value)
        if parameter == tool.old:
            return replace(self, old=value)
        if parameter == tool.new:
            return replace(self, new=value)
        if tool.patch and parameter == tool.patch:
            return replace(self, files=self._patched(value))
        if tool.command and parameter == tool.command:
            return replace(self, command=value.strip())
        if parameter == tool.everywhere:
            return replace(self, everywhere=value.strip().lower() == "true")
        return self

    def _patched(self, text: str) -> Files:
        """The files once a patch has been applied; one that cannot be followed is not known any more."""
        files = dict(self.files)
        for section in file_patches(text):
            path = normal(section.path, self.texts.folder)
            file = files.pop(path, None)
            if section.added is not None:
                files[path] = KnownFile(section.path, (section.added,), True)
            elif file is not None and not section.deleted and not section.moved_to:
                pieces = file.pieces
                for old, new in section.hunks:
                    found = old and any(old in piece for piece in pieces)
                    pieces = tuple(piece.replace(old, new, 1) for piece in pieces) if found else ()
                if pieces:
                    files[path] = KnownFile(file.path, pieces, file.whole)
        return files

    def next_edit(self) -> Call:
        """Behind one edit of a list: the next is about what it has left."""
        return replace(self, files=self.done(), old=None, new=None, everywhere=None, quoted=(), listed=False)

    def done(self) -> Files:
        """The files once the call has been carried out; a text that it does not quote right leaves them as they are."""
        file = self.file
        if file is None or self.old is None or self.new is None:
            return self.files
        if self.tool.style == "blocks":
            pieces = tuple(lines_replaced(piece, self.old, self.new) for piece in file.pieces)
        elif not self.old or not any(self.old in piece for piece in file.pieces):
            return self.files
        else:
            times = -1 if self.everywhere else 1
            pieces = tuple(piece.replace(self.old, self.new, times) for piece in file.pieces)
        return self.knows(KnownFile(file.path, pieces, file.whole)).files

    def knows(self, file: KnownFile) -> Call:
        """With that for the file that the call is about."""
        assert self.path is not None
        return replace(self, files={**self.files, normal(self.path, self.texts.folder): file})


def decoded(written: bytes) -> str:
    """The text of the inside of a JSON string; as it is, if it is none."""
    text = written.decode(errors="replace")
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text
