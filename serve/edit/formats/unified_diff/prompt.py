"""The chat messages that ask a model for numberless diffs. Knows no tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.serve.edit.formats.conversation import conversation
from dovetail.serve.types import FileOperation, SourceFile

_FORMAT = """\
You edit files. Answer with one diff in a fence only: no explanation. Leave out the line numbers.

```diff
diff --git a/src/example.py b/src/example.py
--- a/src/example.py
+++ b/src/example.py
@@ @@
 import os
-def area(r):
-    return 3 * r * r
+def area(r):
+    return math.pi * r * r
```

Lines led by a space are kept, lines led by a minus sign are deleted, lines led by a plus sign are new. Quote kept and
deleted lines exactly as they are in the file, one after the other without leaving any out, and enough of them to be found
only once. Begin every further place to change with a line @@ @@, in the file's order.{operations}"""

_OPERATIONS: dict[FileOperation, str] = {
    "create": "diff --git /dev/null b/src/name.py, and a hunk of new lines, creates a file.",
    "delete": "diff --git a/src/name.py /dev/null deletes a file.",
    "rename": "rename from src/name.py, and on the next line rename to src/other.py, renames a file.",
}


def unified_diff_messages(
    files: Sequence[SourceFile], instruction: str, operations: Sequence[FileOperation] = ()
) -> list[dict[str, str]]:
    """A system message that explains the format and the ``operations`` allowed, and a user message."""
    told = "".join(f"\n{_OPERATIONS[each]}" for each in operations if each in _OPERATIONS)
    return conversation(_FORMAT.replace("{operations}", told), files, instruction)
