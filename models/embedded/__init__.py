"""The embedded model: a tiny code-edit model that this folder trains from scratch and ships.

This module only says where the trained directory lies. It imports nothing heavy: the server
reads the path without pulling in torch, and training code is reached through its own modules.
"""

from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
WEIGHTS: Final = HERE / "weights"
NAME: Final = "dovetail-embedded"
EDIT_TEMPLATE: Final = HERE / "edit_template.jinja"
CHAT_TEMPLATE: Final = HERE / "chat_template.jinja"

__all__ = ["CHAT_TEMPLATE", "EDIT_TEMPLATE", "HERE", "NAME", "WEIGHTS"]
