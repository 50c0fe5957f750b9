"""A unified diff without numbers as a dialect of hunks: a model quotes, the server counts.

Line numbers in a hunk's head come before the lines that they count; a model that has to write them first is then held to
what it guessed. So heads are ``@@ @@`` here, a hunk's place follows from what it quotes, and the numbers are written when
the answer is rendered: they cannot be wrong.
"""

from __future__ import annotations

from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.formats.hunks.dialect import Dialect
from dovetail.serve.edit.formats.hunks.zones import hunks_plan
from dovetail.serve.edit.plan import Plan
from dovetail.serve.types import EditSpec

NUMBERLESS_DIFF = Dialect(
    begin=b"```diff\n",
    end=b"```",
    update=lambda path: (
        b"diff --git a/" + path + b" b/" + path + b"\n--- a/" + path + b"\n+++ b/" + path + b"\n@@ @@\n"
    ),
    hunk=b"@@ @@\n",
    delete=lambda path: b"diff --git a/" + path + b" /dev/null\n",
    create=b"diff --git /dev/null b/",
    created=b"@@ @@\n",
    rename=lambda path: b"rename from " + path + b"\nrename to ",
    renamed=b"",
)
"""Every head begins with a letter: after a hunk's line, ``--- a/path`` would be a deleted line."""


def unified_diff_plan(spec: EditSpec, vocabulary: Vocabulary) -> Plan:
    """The plan of an output that is one fenced diff.

    Raises:
        UserError: what Plan refuses.
    """
    return hunks_plan(spec, vocabulary, NUMBERLESS_DIFF)
