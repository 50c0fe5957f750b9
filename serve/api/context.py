"""What every endpoint is given: the engine, the model, the settings, the instruments; and the questions they all ask.

Knows no endpoint and no wire format.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
import time
import uuid
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field

import msgspec
import structlog
from starlette.requests import Request as HttpRequest

from dovetail import __version__
from dovetail.serve.api.access.visit import Visit, visiting
from dovetail.serve.api.affinity import Affinity
from dovetail.serve.api.generation import Indexed, run
from dovetail.serve.api.hosted import Hosted, Models
from dovetail.serve.api.http.metrics import Metrics
from dovetail.serve.api.http.recent import MOST_STEPS, PASSING, Passing
from dovetail.serve.api.served import ServedModel
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.api.structured import Grammars
from dovetail.serve.edit.landing.process import LANDINGS_HERE, Landings
from dovetail.serve.engine.base import Engine
from dovetail.serve.errors import ContextOverflow, DovetailError, EngineError, UserError
from dovetail.serve.govern.governance import Governance
from dovetail.serve.types import FinishEvent, Request, TokensEvent

log: structlog.stdlib.BoundLogger = structlog.get_logger("dovetail.api")

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.\-\[\]]{1,64}")
"""Field names that may stand in a header as they are."""


@dataclass
class Load:
    """What this process has in flight. ``running`` counts engine requests; ``draining``: no new ones are taken."""

    running: int = 0
    draining: bool = False


@dataclass(frozen=True)
class ApiContext:
    """Shared by all endpoints of one application."""

    models: Models
    settings: ApiSettings
    metrics: Metrics
    load: Load = field(default_factory=Load)
    grammars: Grammars = field(default_factory=Grammars)
    governance: Governance = field(default_factory=Governance)
    landings: Landings = LANDINGS_HERE
    affinity: Affinity = field(default_factory=Affinity)

    @property
    def hosted(self) -> Hosted:
        """The model that the request at hand has chosen (:meth:`require_model`); before that the first one."""
        chosen = visiting().hosted
        return chosen if chosen is not None else self.models.first

    @property
    def served(self) -> ServedModel:
        """The chosen model, as clients see it."""
        return self.hosted.served

    @property
    def engine(self) -> Engine:
        """What runs the chosen model."""
        return self.hosted.engine

    @property
    def fingerprint(self) -> str:
        """Of the chosen model's answers."""
        return self.models.fingerprint_of(self.hosted) or fingerprint_of(self.served)

    @property
    def takes_requests(self) -> bool:
        """Whether the models are loaded and the server is not about to end."""
        return all(each.engine.ready for each in self.models) and not self.load.draining

    @property
    def usable(self) -> list[Hosted]:
        """The models that the caller may use."""
        return [each for each in self.models if visiting().principal.may_use(each.served.name)]

    def admit(self, requests: int) -> None:
        """Raise a 503 while the model is loading or the server is draining, a 429 when its queue is full."""
        if self.load.draining:
            raise EngineError("The server is shutting down; ask another one.", code="draining")
        if not self.engine.ready:
            raise EngineError("The model is still loading; ask /ready, and try again.", code="model_loading")
        if self.load.running + requests > self.settings.max_in_flight:
            raise UserError(
                f"The server has {self.load.running} requests in flight, and takes {self.settings.max_in_flight}. "
                "Please try again after the time that Retry-After says.",
                status=429,
                code="queue_full",
            )

    def require_model(self, name: str | None) -> None:
        """Choose the model that the request names; a 404 if it is not here, a 403 if its caller may not use it."""
        chosen = self._named(name)
        if chosen is None:
            names = ", ".join(repr(each.served.name) for each in self.models)
            raise UserError(
                f"The model {name!r} does not exist here; this server serves {names}.",
                status=404,
                code="model_not_found",
                param="model",
            )
        visit = visiting()
        visit.require_model(chosen.served.name)
        visit.hosted = chosen

    def _named(self, name: str | None) -> Hosted | None:
        first = self.models.first
        if name is None:
            return first
        found = self.models.find(name)
        if found is not None:
            return found
        aliased = any(fnmatch.fnmatchcase(name, alias) for alias in self.settings.model_aliases)
        return first if aliased or self.settings.any_model_name else None

    def room(self, prompt_tokens: int, param: str, answers: int = 1) -> int:
        """How many tokens each of the answers to a prompt may have; a UserError with both counts if none."""
        limit = self.served.max_model_len
        if prompt_tokens >= limit:
            raise ContextOverflow(prompt_tokens, limit, param)
        room = min(limit - prompt_tokens, self.settings.max_output_tokens or limit)
        by_quota = visiting().room(prompt_tokens, param, answers)
        return room if by_quota is None else min(room, by_quota)

    def reserve(self, requests: Sequence[Request]) -> tuple[Request, ...]:
        """``requests`` as their caller may have them run, its quota taken. Raises a 403 or a 429."""
        if not self.served.generates and not all(each.pooling for each in requests):
            raise UserError(
                f"{self.served.name} makes embeddings, and writes no text.", code="unsupported_model", param="model"
            )
        adapter = self.hosted.adapter
        if adapter is not None:
            requests = [msgspec.structs.replace(each, adapter=adapter) for each in requests]
        reserved = visiting().reserve(self.served.name, requests)
        self._tell_affinity(requests[0])
        return reserved

    def _tell_affinity(self, request: Request) -> None:
        visit = visiting()
        tenant = visit.principal.tenant
        if request.pooling:
            return
        if visit.word is not None:
            visit.affinity = visit.word
        elif visit.belongs is not None:
            visit.affinity = self.affinity.of_name(tenant, visit.belongs)
        else:
            visit.affinity = self.affinity.of_prompt(tenant, request.prompt)

    async def generate(
        self, http: HttpRequest, endpoint: str, requests: Sequence[Request]
    ) -> AsyncGenerator[Indexed, None]:
        """Events of ``requests``, measured."""
        visit = visiting()
        made = [0] * len(requests)
        arrived: float = http.scope.get("dovetail.arrived", time.perf_counter())
        last: dict[int, float] = {}
        between = self.metrics.between_tokens.labels(endpoint)
        passing = http.scope.get(PASSING)
        recorded, timed = visit.trail.log is not None, passing is not None and passing.steps is not None
        named = str(http.scope.get("dovetail.request_id", ""))
        requests = [msgspec.structs.replace(each, http_request=named) for each in requests]
        await visit.trail.asked(requests, self.served.codec.decode)
        with self._counted(len(requests)), _spent(visit, requests, made):
            async with aclosing(run(self.engine, requests)) as events:
                async for index, event in events:
                    if recorded:
                        visit.trail.event(index, event)
                    if isinstance(event, TokensEvent) and event.tokens:
                        now = time.perf_counter()
                        self.metrics.recent.tokens(len(event.tokens))
                        if not last:
                            self.metrics.first_token.labels(endpoint).observe(now - arrived)
                            _first_token(passing, now - arrived)
                        elif index in last:
                            between.observe(now - last[index])
                        if timed:
                            _step(passing, now - arrived, len(event.tokens))
                        last[index] = now
                        made[index] += len(event.tokens)
                    elif isinstance(event, FinishEvent):
                        made[index] = event.usage.completion_tokens
                        self.metrics.prompt_tokens.labels(endpoint).inc(event.usage.prompt_tokens)
                        self.metrics.completion_tokens.labels(endpoint).inc(event.usage.completion_tokens)
                        _finished(passing, event)
                    yield index, event

    @contextmanager
    def _counted(self, requests: int) -> Iterator[None]:
        self.load.running += requests
        try:
            yield
        finally:
            self.load.running -= requests

    def ignored_header(self, http: HttpRequest, names: Sequence[str]) -> dict[str, str]:
        """Names the fields that were accepted and not acted on, in a header and in the log."""
        if not names:
            return {}
        log.debug("fields ignored", fields=list(names))
        shown = dict.fromkeys(name if _PLAIN_NAME.fullmatch(name) else "?" for name in names)
        return {"x-dovetail-ignored": ", ".join(shown)[:1024].rstrip(", ")}  # no header may end with a space


@contextmanager
def _spent(visit: Visit, requests: Sequence[Request], made: list[int]) -> Iterator[None]:
    """Counts for the caller's quota what was made, also where the client left; nothing where the engine refused at once."""
    refused = False
    try:
        yield
    except DovetailError as error:
        visit.trail.code = error.code
        refused = not any(made)
        raise
    finally:
        if not refused:
            visit.spent(requests, sum(made))


def _first_token(passing: Passing | None, seconds: float) -> None:
    if passing is not None and passing.first_token_s is None:
        passing.first_token_s = seconds


def _step(passing: Passing | None, after_s: float, tokens: int) -> None:
    if passing is not None and passing.steps is not None and len(passing.steps) < MOST_STEPS:
        passing.steps.append((after_s, tokens))


def _finished(passing: Passing | None, event: FinishEvent) -> None:
    if passing is not None:
        passing.prompt_tokens += event.usage.prompt_tokens
        passing.completion_tokens += event.usage.completion_tokens


def fingerprint_of(served: ServedModel) -> str:
    """The same for every answer of one deployment; another model, version or context length changes it."""
    identity = f"{__version__}|{served.name}|{served.created}|{served.max_model_len}"
    return "fp_" + hashlib.sha256(identity.encode()).hexdigest()[:12]


def fresh_id(prefix: str) -> str:
    """A request id as clients know them: ``chatcmpl-...``."""
    return f"{prefix}-{uuid.uuid4().hex}"
