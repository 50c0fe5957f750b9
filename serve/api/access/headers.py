"""What headers say of callers and quotas, in OpenAI's words and in Anthropic's. Knows no quota's reason."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from dovetail.serve.govern.quotas.gate import Level

Header = tuple[bytes, bytes]


def credential_of(headers: Iterable[Header]) -> str | None:
    """The key or token that a request brings: of ``Authorization: Bearer``, else of ``x-api-key``."""
    found = {name: value for name, value in headers if name in (b"authorization", b"x-api-key")}
    scheme, _, bearer = found.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer" and bearer.strip():
        return bearer.strip().decode("latin-1")
    return found.get(b"x-api-key", b"").strip().decode("latin-1") or None


def openai_headers(levels: Mapping[str, Level]) -> list[Header]:
    """``x-ratelimit-limit-requests: 60`` and the like."""
    told: list[Header] = []
    for kind, level in levels.items():
        for name, value in (
            ("limit", str(level.limit)),
            ("remaining", str(level.remaining)),
            ("reset", duration(level.reset)),
        ):
            told.append((f"x-ratelimit-{name}-{kind}".encode(), value.encode()))
    return told


def anthropic_headers(levels: Mapping[str, Level]) -> list[Header]:
    """``anthropic-ratelimit-requests-limit: 60`` and the like."""
    told: list[Header] = []
    for kind, level in levels.items():
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + level.reset))
        for name, value in (("limit", str(level.limit)), ("remaining", str(level.remaining)), ("reset", at)):
            told.append((f"anthropic-ratelimit-{kind}-{name}".encode(), value.encode()))
    return told


def duration(seconds: float) -> str:
    """Seconds as OpenAI writes them: ``1h2m3s``, ``6m0s``, ``20ms``."""
    if seconds < 1:
        return f"{int(seconds * 1000)}ms"
    whole = int(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    parts = f"{hours}h" if hours else ""
    parts += f"{minutes}m" if hours or minutes else ""
    return f"{parts}{whole % 60}s"
