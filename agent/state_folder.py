"""Where what the commands keep for their user lies. Makes nothing."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """Below the user's state folder (XDG base directories), never inside a repository."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path("~/.local/state").expanduser()) / "dovetail"
