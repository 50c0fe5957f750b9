"""The agent's loop: requirements, plan, candidates, checks, report, over the HTTP API of a server."""

from __future__ import annotations

from dovetail.agent.loop.agent import Agent
from dovetail.agent.loop.limits import LimitReached, RunLimits
from dovetail.agent.loop.report import Report
from dovetail.agent.loop.settings import Settings

__all__ = ["Agent", "LimitReached", "Report", "RunLimits", "Settings"]
