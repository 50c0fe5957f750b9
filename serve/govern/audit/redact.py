"""Takes secrets out of text before it is written: keys, tokens, private keys and passwords of the usual shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_SHAPES: tuple[tuple[str, str], ...] = (
    (
        "private-key",
        r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[^-]|-(?!----END))*(?:-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----)?",
    ),
    ("dovetail-key", r"\bdvt_[A-Za-z0-9_\-]{8,}"),
    ("api-key", r"\b(?:sk|rk|pk)[-_](?:[A-Za-z0-9]+[-_]){0,3}[A-Za-z0-9_\-]{16,}"),
    ("github-token", r"\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,})"),
    ("gitlab-token", r"\bgl[a-z]{2,6}-[A-Za-z0-9_\-]{16,}"),
    ("aws-key", r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}"),
    ("google-key", r"\bAIza[A-Za-z0-9_\-]{30,}"),
    ("google-token", r"\bya29\.[A-Za-z0-9_\-.]{16,}"),
    ("slack-token", r"\bxox[a-z]-[A-Za-z0-9\-]{10,}"),
    ("package-token", r"\b(?:npm_[A-Za-z0-9]{20,}|pypi-[A-Za-z0-9_\-]{16,}|hf_[A-Za-z0-9]{16,})"),
    ("jwt", r"\beyJ[A-Za-z0-9_\-]{6,}\.[A-Za-z0-9_\-]{6,}(?:\.[A-Za-z0-9_\-]*)?"),
    ("credential", r"(?i:\b(?:bearer|basic)[ \t]+)[A-Za-z0-9_\-.~+/=]{8,}"),
    ("url-password", r"(?<=://)[^\s/@:\"'<>]{0,256}:[^\s/\"'<>]{1,256}@"),
    (
        "assigned-secret",
        r"(?i:\b[a-z0-9_\-]{0,40}(?:password|passwd|passphrase|secret|api[_\-]?key|access[_\-]?key|auth[_\-]?token|x-api-key)"
        r"[a-z0-9_\-]{0,20}\\?[\"']?[ \t]{0,4}(?::|=|=>)[ \t]{0,4})"
        r"(?:\\?\"[^\"\\\n]{4,}|'[^'\n]{4,}|[^\s\"'\\,;(){}\[\]<>]{6,})",
    ),
)
_SECRET = re.compile("|".join(f"(?P<{name.replace('-', '_')}>{shape})" for name, shape in _SHAPES))


def redact(text: str) -> str:
    """``text`` with ``[redacted:KIND]`` in the place of each secret, and ``?`` in that of half a surrogate pair."""
    clean = _SECRET.sub(_shown, text)
    return clean if clean.isascii() else clean.encode("utf-8", "replace").decode()


def redacted(value: Any) -> Any:
    """A JSON value with the secrets taken out of its strings, keys of objects included."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(key)): redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    return value


def _shown(match: re.Match[str]) -> str:
    kind = (match.lastgroup or "").replace("_", "-")
    return f"[redacted:{kind}]"
