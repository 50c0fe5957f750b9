"""Codex's ``apply_patch`` as a dialect of hunks."""

from __future__ import annotations

from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.formats.hunks.dialect import Dialect
from dovetail.serve.edit.formats.hunks.zones import hunks_plan
from dovetail.serve.edit.plan import Plan
from dovetail.serve.types import EditSpec

APPLY_PATCH = Dialect(
    begin=b"*** Begin Patch\n",
    end=b"*** End Patch",
    update=lambda path: b"*** Update File: " + path + b"\n@@\n",
    hunk=b"@@\n",
    delete=lambda path: b"*** Delete File: " + path + b"\n",
    create=b"*** Add File: ",
    created=b"",
    rename=lambda path: b"*** Update File: " + path + b"\n*** Move to: ",
    renamed=b"@@\n",
    anchor=b"@@ ",
)


def apply_patch_plan(spec: EditSpec, vocabulary: Vocabulary) -> Plan:
    """The plan of an output that is one patch.

    Raises:
        UserError: what Plan refuses.
    """
    plan = hunks_plan(spec, vocabulary, APPLY_PATCH)
    plan.final_line_feed = True
    return plan
