"""The chat messages that ask a model for Codex patches. Knows no tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.serve.edit.formats.conversation import conversation
from dovetail.serve.types import FileOperation, SourceFile

_FORMAT = """\
You edit files. Answer with one patch only: no explanation, no code fences.

*** Begin Patch
*** Update File: src/example.py
@@
 import os
-def area(r):
-    return 3 * r * r
+def area(r):
+    return math.pi * r * r
*** End Patch

Lines led by a space are kept, lines led by a minus sign are deleted, lines led by a plus sign are new. Quote kept and
deleted lines exactly as they are in the file, one after the other without leaving any out, and enough of them to be found
only once. Begin every further place to change with a line @@, in the file's order, and every further file with its Update
line.{operations}"""

_OPERATIONS: dict[FileOperation, str] = {
    "create": "*** Add File: src/name.py creates a file; every line under it is led by a plus sign.",
    "delete": "*** Delete File: src/name.py deletes a file.",
    "rename": "*** Move to: src/name.py behind an Update line renames the file.",
}


def apply_patch_messages(
    files: Sequence[SourceFile], instruction: str, operations: Sequence[FileOperation] = ()
) -> list[dict[str, str]]:
    """A system message that explains the format and the ``operations`` allowed, and a user message."""
    told = "".join(f"\n{_OPERATIONS[each]}" for each in operations if each in _OPERATIONS)
    return conversation(_FORMAT.replace("{operations}", told), files, instruction)
