"""Ids as the newer protocols write them. Keeps none."""

from __future__ import annotations

import uuid


def fresh(prefix: str) -> str:
    """A new id: ``msg_...``."""
    return f"{prefix}_{uuid.uuid4().hex}"
