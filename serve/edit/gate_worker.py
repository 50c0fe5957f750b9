"""The gate process as edits need it (``python -m dovetail.serve.edit.gate_worker``): it also judges changes by policies."""

from __future__ import annotations

import sys

from dovetail.serve.constrain.syntax import gate_worker
from dovetail.serve.constrain.syntax.gate_process import GateProcess
from dovetail.serve.edit.policy.review import reviewed


def edit_gates() -> GateProcess:
    """A gate process that runs this module."""
    return GateProcess(command=(sys.executable, "-m", "dovetail.serve.edit.gate_worker"))


if __name__ == "__main__":
    gate_worker.main(reviewed)
