"""What the deployment decides about the HTTP side. Parsed elsewhere (serve/config/); frozen here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dovetail.serve.api.http.limits import Limits
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.govern.declines.conduct import Conduct

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ApiSettings:
    """Limits and switches of the API.

    ``max_choices`` bounds prompts x n of one request, ``max_in_flight`` those of all requests together, waiting ones
    included. ``model_aliases``: other names of the model, ``*`` standing for anything. ``keepalive_seconds``: how long a
    stream may be silent before it carries a comment. ``retry_after_seconds``: what 429 and 503 answers advise. ``store``:
    the file of stored answers, or a PostgreSQL URL; None: kept in memory. ``seal_key``: proves sealed texts (serve/api/sealed.py) to be this
    deployment's own; None: one that is made at first, and kept with the stored answers. ``carriers``: calls of edit tools quote
    text that the conversation has shown. ``drop_billing_header``: take the changing first line of Claude Code's system prompt
    out, which would spoil the prefix cache. ``max_output_tokens``: the longest answer, whatever is asked for; None: what the
    window leaves. ``policy``: holds for every edit; requests may narrow it. ``max_file_bytes``: of an uploaded file. ``batch_concurrency``: lines of batches
    that are run at a time. ``lora_folder``: where adapters that are loaded at run time lie; None: none are. ``require_signature``: the public
    key that has signed them; None: anybody's will do. ``cors_origins``: web pages that may read answers. ``conduct``: which requests are declined; None: none. ``limits``: of headers and of the time that bodies take.
    """

    max_body_bytes: int = 8 * MIB
    any_model_name: bool = False
    model_aliases: tuple[str, ...] = ()
    docs: bool = False
    max_choices: int = 64
    max_in_flight: int = 1088
    max_output_tokens: int | None = None
    keepalive_seconds: float = 10.0
    retry_after_seconds: int = 2
    policy: Policy | None = None
    drop_billing_header: bool = True
    carriers: bool = True
    max_file_bytes: int = 64 * MIB
    batch_concurrency: int = 4
    store: Path | str | None = None
    lora_folder: Path | None = None
    require_signature: Path | None = None
    cors_origins: tuple[str, ...] = ()
    conduct: Conduct | None = None
    limits: Limits = field(default_factory=Limits)
    seal_key: bytes | None = field(default=None, repr=False)
