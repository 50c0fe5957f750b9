"""Search/replace blocks as zones: path, search marker, quoted lines, divider, replacement, terminator.

A block on a path that is not given, with nothing to search for, creates that file, where that is allowed.
"""

from __future__ import annotations

from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.formats.blocks.markers import check_markers, closing_run
from dovetail.serve.edit.formats.blocks.quoting import Quoting
from dovetail.serve.edit.ledger import Ledger
from dovetail.serve.edit.plan import Plan, one_line
from dovetail.serve.edit.view import as_read
from dovetail.serve.edit.zones.choice import Choice, OneOf
from dovetail.serve.edit.zones.new_path import NewPath
from dovetail.serve.edit.zones.zone import Zone
from dovetail.serve.types import EditSpec


def blocks_plan(spec: EditSpec, vocabulary: Vocabulary) -> Plan:
    """The plan of an output in blocks.

    Raises:
        UserError: what Plan refuses, or markers that a file holds.
    """
    check_markers(spec.markers, as_read(spec.files, spec.line_ends))
    search = one_line(spec.markers.search, "markers.search")

    def between(ledger: Ledger, begin: int) -> Zone:
        def quoting(target: int) -> Choice:
            likely = target == (ledger.last if ledger.last is not None else 0)
            head = ledger.targets[target].path.encode() + b"\n" + search
            return Choice(head, lambda: Quoting.begun(ledger, begin, target), likely=likely)

        def new(path: str) -> Zone:
            after, target = ledger.create(path)
            return OneOf(after, begin, [Choice(search, lambda: Quoting.begun(after, begin, target))])

        targets = () if ledger.exhausted else range(len(plan.targets))
        choices = [quoting(target) for target in targets if ledger.offers(target)]
        free = NewPath(ledger, begin, b"\n", new) if ledger.creates else None
        return OneOf(ledger, begin, choices, ends=ledger.sound, free=free)

    plan = Plan(spec, vocabulary, between)
    plan.divider = one_line(spec.markers.divider, "markers.divider")
    plan.closing_line = one_line(spec.markers.replace, "markers.replace")
    plan.closing_run = closing_run(spec.markers.replace).encode()
    return plan
