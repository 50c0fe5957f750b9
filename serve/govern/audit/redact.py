"""Takes secrets out of text before it is written: keys, tokens, private keys and passwords of the usual shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_NAMES = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    *tuple(
        f"{what}{mark}{thing}"
        for what, thing in (("api", "key"), ("access", "key"), ("auth", "token"))
        for mark in ("", "_", "-")
    ),
)
_SHAPES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "private-key",
        ("private key",),
        r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[^-]|-(?!----END))*(?:-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----)?",
    ),
    ("dovetail-key", ("dvt_",), r"\bdvt_[A-Za-z0-9_\-]{8,}"),
    (
        "api-key",
        ("sk-", "sk_", "rk-", "rk_", "pk-", "pk_"),
        r"\b(?:sk|rk|pk)[-_](?:[A-Za-z0-9]+[-_]){0,3}[A-Za-z0-9_\-]{16,}",
    ),
    ("github-token", ("gh", "github_pat_"), r"\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,})"),
    ("gitlab-token", ("gl",), r"\bgl[a-z]{2,6}-[A-Za-z0-9_\-]{16,}"),
    ("aws-key", ("akia", "asia", "agpa", "aida", "aroa"), r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}"),
    ("google-key", ("aiza",), r"\bAIza[A-Za-z0-9_\-]{30,}"),
    ("google-token", ("ya29.",), r"\bya29\.[A-Za-z0-9_\-.]{16,}"),
    ("slack-token", ("xox",), r"\bxox[a-z]-[A-Za-z0-9\-]{10,}"),
    (
        "package-token",
        ("npm_", "pypi-", "hf_"),
        r"\b(?:npm_[A-Za-z0-9]{20,}|pypi-[A-Za-z0-9_\-]{16,}|hf_[A-Za-z0-9]{16,})",
    ),
    ("jwt", ("eyj",), r"\beyJ[A-Za-z0-9_\-]{6,}\.[A-Za-z0-9_\-]{6,}(?:\.[A-Za-z0-9_\-]*)?"),
    ("credential", ("bearer", "basic"), r"\b(?i:bearer|basic)[ \t]+[A-Za-z0-9_\-.~+/=]{8,}"),
    ("url-password", ("://",), r"(?<=://)[^\s/@:\"'<>]{0,256}:[^\s/\"'<>]{1,256}@"),
    (
        "assigned-secret",
        _NAMES,
        rf"(?i:{'|'.join(_NAMES)})[A-Za-z0-9_\-]{{0,20}}\\?[\"']?[ \t]{{0,4}}(?::|=|=>)[ \t]{{0,4}}"
        r"(?:\\?\"[^\"\\\n]{4,}|'[^'\n]{4,}|[^\s\"'\\,;(){}\[\]<>]{6,})",
    ),
)
_SECRETS = tuple((name, triggers, re.compile(shape)) for name, triggers, shape in _SHAPES)
"""Kind, what a text must hold (in small letters) for the pattern to be tried, and the pattern: most texts hold nothing of all that."""


def redact(text: str) -> str:
    """``text`` with ``[redacted:KIND]`` in the place of each secret, and ``?`` in that of half a surrogate pair."""
    small = text.lower()
    for name, triggers, pattern in _SECRETS:
        if any(trigger in small for trigger in triggers):
            text = pattern.sub(f"[redacted:{name}]", text)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


@lru_cache(maxsize=256)
def redact_name(text: str) -> str:
    """As ``redact``, of the name of a field: there are few, and they come again with every record."""
    return redact(text)


def redacted(value: Any) -> Any:
    """A JSON value with the secrets taken out of its strings, keys of objects included."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact_name(str(key)): redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    return value
