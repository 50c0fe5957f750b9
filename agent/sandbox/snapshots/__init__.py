"""Snapshots of a work tree, kept apart from it: taken before every command, compared, and brought back."""

from __future__ import annotations

from dovetail.agent.sandbox.snapshots.entries import Snapshot
from dovetail.agent.sandbox.snapshots.restore import Restored
from dovetail.agent.sandbox.snapshots.store import Snapshots

__all__ = ["Restored", "Snapshot", "Snapshots"]
