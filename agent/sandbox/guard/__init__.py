"""Recognises commands that may destroy somebody's work. A courtesy: containment and snapshots are the guarantee."""

from __future__ import annotations

from dovetail.agent.sandbox.guard.finding import Finding
from dovetail.agent.sandbox.guard.recognise import destructive

__all__ = ["Finding", "destructive"]
