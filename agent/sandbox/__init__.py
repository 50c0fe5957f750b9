"""Commands run contained: with their own view of the machine, within limits, and with nothing left behind."""

from __future__ import annotations

from dovetail.agent.sandbox.config import SandboxConfig, read_config
from dovetail.agent.sandbox.outcome import Limits, Outcome
from dovetail.agent.sandbox.sandbox import Sandbox

__all__ = ["Limits", "Outcome", "Sandbox", "SandboxConfig", "read_config"]
