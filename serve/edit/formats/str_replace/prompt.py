"""The chat messages that ask a model for tool calls. Knows no tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.serve.edit.formats.conversation import conversation
from dovetail.serve.types import FileOperation, SourceFile

_FORMAT = """\
You edit files. Answer with JSON objects only, one per line: no explanation, no code fences.

{"file_path": "src/example.py", "old_string": "def area(r):\\n    return 3 * r * r\\n", "new_string": "def area(r):\\n    return math.pi * r * r\\n"}
{"file_path": "src/example.py", "insert_line": 0, "new_string": "import math\\n"}

The old string is whole lines of the file, exactly as they are, and enough of them to be found only once. The new string
takes their place; an empty one deletes them. insert_line puts lines behind the line of that number of the file as given.
Quote no line twice. Use one object per place to change.{operations}"""

_OPERATIONS: dict[FileOperation, str] = {
    "create": '{"command": "create", "file_path": "src/name.py", "content": "..."} creates a file.',
}


def str_replace_messages(
    files: Sequence[SourceFile], instruction: str, operations: Sequence[FileOperation] = ()
) -> list[dict[str, str]]:
    """A system message that explains the format and the ``operations`` allowed, and a user message."""
    told = "".join(f"\n{_OPERATIONS[each]}" for each in operations if each in _OPERATIONS)
    return conversation(_FORMAT.replace("{operations}", told), files, instruction)
