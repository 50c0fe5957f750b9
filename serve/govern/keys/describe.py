"""A key as lists show it: everything but what could open something."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from dovetail.serve.govern.keys.key import Key


def described(key: Key, now: float) -> dict[str, Any]:
    """Names and plain values, times in UTC."""
    return {
        "id": key.id,
        "name": key.name,
        "group": key.group,
        "standing": key.standing(now),
        "created": utc(key.created),
        "expires": utc(key.expires),
        "revoked": utc(key.revoked),
        "scopes": msgspec.to_builtins(key.scopes),
        "quota": msgspec.to_builtins(key.quota),
    }


def utc(seconds: float | None) -> str | None:
    """A time as people and programs read it."""
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
