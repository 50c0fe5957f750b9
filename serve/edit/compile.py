"""From an edit specification to its constraint. Files are prepared once per content and shared by later requests."""

from __future__ import annotations

from dovetail.serve.constrain.base import Constraint
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.constraint import EditConstraint
from dovetail.serve.edit.plan import Plan
from dovetail.serve.types import EditSpec


def compile_edit(spec: EditSpec, vocabulary: Vocabulary) -> Constraint:
    """The initial state that holds an output to blocks over ``spec.files``.

    Raises:
        UserError: no files, a path given twice or not one line, text that is not Unicode, or markers that a file holds.
    """
    return EditConstraint.initial(Plan(spec, vocabulary))
