"""From an edit specification to its constraint. Files are prepared once per content and shared by later requests."""

from __future__ import annotations

from collections.abc import Callable

from dovetail.serve.constrain.base import Constraint
from dovetail.serve.constrain.syntax.gates import LOCAL_GATES, Gates
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.constraint import EditConstraint
from dovetail.serve.edit.formats.apply_patch.zones import apply_patch_plan
from dovetail.serve.edit.formats.blocks.zones import blocks_plan
from dovetail.serve.edit.formats.str_replace.zones import str_replace_plan
from dovetail.serve.edit.formats.unified_diff.zones import unified_diff_plan
from dovetail.serve.edit.formats.whole_file.zones import whole_file_plan
from dovetail.serve.edit.plan import Plan
from dovetail.serve.types import EditFormat, EditSpec

PLANS: dict[EditFormat, Callable[[EditSpec, Vocabulary], Plan]] = {
    "blocks": blocks_plan,
    "apply_patch": apply_patch_plan,
    "unified_diff": unified_diff_plan,
    "whole_file": whole_file_plan,
    "str_replace": str_replace_plan,
}


def compile_edit(spec: EditSpec, vocabulary: Vocabulary, gates: Gates = LOCAL_GATES) -> Constraint:
    """The initial state that holds an output to edits of ``spec.files`` in its format. ``gates`` are asked about syntax.

    Raises:
        UserError: no files, a path given twice or not one line, text that is not Unicode, markers that a file holds, or
            protected lines that are not there.
    """
    plan = PLANS[spec.format](spec, vocabulary)
    plan.prepare(gates)
    return EditConstraint.initial(plan)
