"""A model's own prompt for edits, where its directory has one. Knows the file's name and variables; no edit format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dovetail.models.sandbox import SandboxedTemplate
from dovetail.models.tokenizer import Tokenizer

FILE = "edit_template.jinja"


class EditTemplate:
    """Renders edit prompts for one model.

    Args:
        source: the jinja2 template; its variables are ``files`` (a list of ``path`` and ``content``), ``instruction`` and
            ``markers`` (``search``, ``divider``, ``replace``).
        where: names its file in errors.
        tokenizer: shields paths, contents and instruction, so that special tokens in them stay text.
    """

    def __init__(self, source: str, where: str, tokenizer: Tokenizer) -> None:
        self._template = SandboxedTemplate(source, where, tokenizer.shield)

    @classmethod
    def load(cls, path: Path, tokenizer: Tokenizer) -> EditTemplate | None:
        """``edit_template.jinja`` of a model directory; None if it has none.

        Raises:
            ModelDirectoryError: the template is not valid jinja2.
        """
        file = path / FILE
        return cls(file.read_text(encoding="utf-8"), str(file), tokenizer) if file.is_file() else None

    def render(self, files: Sequence[Mapping[str, str]], instruction: str, markers: Mapping[str, str]) -> str:
        """The prompt text, for ``Tokenizer.encode_rendered``.

        Args:
            files: ``{"path": ..., "content": ...}`` of each, exact.
            instruction: what to change.
            markers: the three marker lines without their newline.

        Raises:
            ChatTemplateError: the template refused the values or failed on them.
        """
        return self._template.render({"files": list(files), "instruction": instruction, "markers": dict(markers)}, {})
