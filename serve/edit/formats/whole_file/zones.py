"""Whole files as zones: a path, a fence, the new content, the fence. The gate is asked at its end.

The draft is a pointer into the old content. A file that has lines must keep some, and its protected lines as they were.
"""

from __future__ import annotations

from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.apply import keeps_lines
from dovetail.serve.edit.formats.whole_file.fence import choose_fence
from dovetail.serve.edit.ledger import Ledger, Quote
from dovetail.serve.edit.plan import Plan, Target
from dovetail.serve.edit.view import as_read
from dovetail.serve.edit.zones.choice import Choice, OneOf
from dovetail.serve.edit.zones.new_path import NewPath
from dovetail.serve.edit.zones.open_edit import OpenEdit
from dovetail.serve.edit.zones.replacement import Replacing
from dovetail.serve.edit.zones.zone import Zone
from dovetail.serve.types import EditSpec


def whole_file_plan(spec: EditSpec, vocabulary: Vocabulary) -> Plan:
    """The plan of an output in whole files.

    Raises:
        UserError: what Plan refuses.
    """
    fence = choose_fence(as_read(spec.files, spec.line_ends)).encode()

    def between(ledger: Ledger, begin: int) -> Zone:
        def opened(after: Ledger, target: int) -> Zone:
            quote = Quote(0, len(after.targets[target].prepared.text))
            return Replacing.begun(OpenEdit(after, begin, target, quote, whole=True))

        def given(target: int) -> Choice:
            head = ledger.targets[target].path.encode() + b"\n" + fence + b"\n"
            return Choice(head, lambda: opened(ledger, target), likely=True)

        def new(path: str) -> Zone:
            after, target = ledger.create(path)
            return OneOf(after, begin, [Choice(fence + b"\n", lambda: opened(after, target))])

        targets = () if ledger.exhausted else range(len(plan.targets))
        choices = [given(target) for target in targets if ledger.untouched(target)]
        free = NewPath(ledger, begin, b"\n", new) if ledger.creates else None
        return OneOf(ledger, begin, choices, ends=ledger.sound, free=free)

    plan = Plan(spec, vocabulary, between)
    plan.closing_line, plan.closing_run = fence + b"\n", fence
    plan.permits = _permits
    return plan


def _permits(target: Target, quote: tuple[int, int], replacement: bytes) -> bool:
    if target.prepared.raw and not replacement:
        return False
    if not target.protected:
        return True
    text = target.prepared.text
    return keeps_lines(replacement.decode(), [text[start:end].decode() for start, end in target.protected])
