"""One request's caller and what it takes of its quota, at hand wherever the request is worked on. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

import msgspec

from dovetail.serve.api.hosted import Hosted
from dovetail.serve.errors import ContextOverflow
from dovetail.serve.govern.access.access import require_model, require_tools
from dovetail.serve.govern.audit.trail import Trail
from dovetail.serve.govern.principal import ANONYMOUS, Principal
from dovetail.serve.govern.quotas.gate import Gate, Lease
from dovetail.serve.types import Request


@dataclass
class Visit:
    """A request while it is answered.

    ``hosted``: the model that it has chosen. ``belongs``: what names its conversation; ``affinity``: the word for that, once it
    is known, and ``word``: the one that the client sent (serve/api/affinity.py).
    ``detached``: what it began goes on when its answer has been sent; whoever goes on with it closes the visit.
    """

    principal: Principal = ANONYMOUS
    gate: Gate = field(default_factory=Gate)
    endpoint: str = ""
    detached: bool = False
    trail: Trail = field(default_factory=Trail)
    hosted: Hosted | None = None
    word: str | None = None
    belongs: str | None = None
    affinity: str | None = None
    _lease: Lease | None = None
    _prompt: int = 0
    _completion: int = 0

    def require_model(self, name: str) -> None:
        """Raise a 403 where the caller may not use this model."""
        require_model(self.principal, name)

    def require_tools(self, names: Sequence[str]) -> None:
        """Raise a 403 where the caller may not offer one of these tools."""
        require_tools(self.principal, names)

    def room(self, prompt_tokens: int, param: str, answers: int) -> int | None:
        """How long each answer may be by the caller's quota; None: it says nothing of it. Raises UserError for none at all."""
        try:
            return self.gate.answer_room(self.principal, prompt_tokens, answers)
        except ContextOverflow as error:
            raise ContextOverflow(error.prompt_tokens, error.limit, param) from error

    def reserve(self, model: str, requests: Sequence[Request]) -> tuple[Request, ...]:
        """``requests`` with the quota taken for them, and kept apart from other tenants' cached prefixes.

        Raises QuotaExceeded.
        """
        assert self._lease is None, "a request is let in once"
        self.require_model(model)
        answers = sum(request.sampling.max_tokens for request in requests)
        self._lease = self.gate.admit(self.principal, self.endpoint, model, prompt_tokens(requests), answers)
        tenant = self.principal.tenant
        if tenant is None:
            return tuple(requests)
        return tuple(msgspec.structs.replace(each, cache_salt=salted(tenant, each.cache_salt)) for each in requests)

    def spent(self, requests: Sequence[Request], completion_tokens: int) -> None:
        """Count what was computed."""
        self._prompt += prompt_tokens(requests)
        self._completion += completion_tokens

    def close(self) -> None:
        """Settle the quota, and record the request. Once is enough, more does no harm."""
        if self._lease is not None:
            self._lease.settle(self._prompt, self._completion)
        self.trail.close()


def prompt_tokens(requests: Sequence[Request]) -> int:
    """Tokens of all prompts; several answers to one prompt count it once."""
    return sum({id(request.prompt): len(request.prompt) for request in requests}.values())


def salted(tenant: str, own: str | None) -> str:
    """The salt of a tenant's prompts, and of those that it keeps apart itself."""
    return tenant if own is None else f"{tenant}\0{own}"


CURRENT: ContextVar[Visit | None] = ContextVar("dovetail.visit", default=None)
"""Set anew for each request by the guard; never a proof of who is calling."""


def visiting() -> Visit:
    """The request that is being worked on; anybody's, where nothing is guarded."""
    return CURRENT.get() or Visit()
