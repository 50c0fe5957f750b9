"""Puts the application together: endpoints, error bodies, observation. Starts no server and no engine."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from dovetail import __version__
from dovetail.serve.api import adapters, embeddings, health, models, openapi, tokenize
from dovetail.serve.api import card as system_card
from dovetail.serve.api.access.guard import Guard
from dovetail.serve.api.access.inside import tenant
from dovetail.serve.api.affinity import Affinity
from dovetail.serve.api.anthropic import endpoints as messages
from dovetail.serve.api.anthropic.errors import body_of
from dovetail.serve.api.batches.endpoints import batch_routes, file_routes
from dovetail.serve.api.batches.files import Files
from dovetail.serve.api.batches.runner import Batches
from dovetail.serve.api.chat.endpoints import Chat
from dovetail.serve.api.completions import endpoints as completions
from dovetail.serve.api.completions import infill
from dovetail.serve.api.console import endpoints as console
from dovetail.serve.api.console import pages
from dovetail.serve.api.context import ApiContext
from dovetail.serve.api.edits import apply
from dovetail.serve.api.edits import endpoints as edits
from dovetail.serve.api.hosted import Hosted, Models
from dovetail.serve.api.http import failures
from dovetail.serve.api.http.limits import Limited
from dovetail.serve.api.http.metrics import Metrics
from dovetail.serve.api.http.observe import Observe
from dovetail.serve.api.responses import conversations
from dovetail.serve.api.responses import endpoints as responses
from dovetail.serve.api.responses.archive import Archive
from dovetail.serve.api.responses.making import Responses
from dovetail.serve.api.sealed import Sealer, kept_key
from dovetail.serve.api.security import moderations, scans
from dovetail.serve.api.served import ServedModel
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.api.store.opening import open_records
from dovetail.serve.api.structured import Grammars
from dovetail.serve.constrain.grammar.checks import Check
from dovetail.serve.edit.landing.process import LANDINGS_HERE, Landings
from dovetail.serve.engine.base import Engine
from dovetail.serve.govern.card.keeper import CardKeeper
from dovetail.serve.govern.governance import Governance


def create_app(
    engine: Engine,
    served: ServedModel,
    settings: ApiSettings | None = None,
    *,
    check: Check | None = None,
    governance: Governance | None = None,
    landings: Landings = LANDINGS_HERE,
    card: CardKeeper | None = None,
    beside: Sequence[Hosted] = (),
) -> FastAPI:
    """The HTTP application. The caller owns ``engine``, and those of the models ``beside``: it starts them before and closes
    them after.

    ``check``: checks grammars; None: in threads of this process. ``governance``: who may do what; None: everybody everything.
    ``landings``: who checks finished edits. ``card``: keeps the system card, which every answer names; None: there is none.
    """
    settings = settings if settings is not None else ApiSettings()
    governance = governance if governance is not None else Governance()
    audit = governance.audit.counts if governance.audit is not None else None
    hosted = Models(Hosted(served, engine), beside, card)
    records = open_records(settings.store, tenant)
    key = settings.seal_key or kept_key(records)
    context = ApiContext(
        hosted,
        settings,
        Metrics(hosted.stats, settings.policy.digest if settings.policy else None, audit),
        grammars=Grammars(check),
        governance=governance,
        landings=landings,
        affinity=Affinity(key),
    )
    app = FastAPI(
        title="Dovetail",
        version=__version__,
        openapi_url="/openapi.json" if settings.docs else None,
        docs_url="/docs" if settings.docs else None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for part in (health, models, completions, infill, tokenize, embeddings, edits, apply, scans, moderations):
        app.include_router(part.routes(context))
    if card is not None:
        app.include_router(system_card.routes(card))
    app.include_router(adapters.routes(hosted, settings))
    app.include_router(pages.routes())
    app.include_router(console.routes(context))
    app.include_router(Chat(context, records).routes())
    sealer = Sealer(key)
    shared = Responses(context, Archive(records), sealer)
    app.include_router(responses.routes(shared))
    app.include_router(conversations.routes(shared))
    app.include_router(messages.routes(context, sealer))
    files = Files(records)
    batches = Batches(app, records, files, settings, context.governance.access)
    app.include_router(file_routes(context, files, batches))
    app.include_router(batch_routes(context, files, batches))
    answers = failures.Answers(settings.retry_after_seconds, {"/v1/messages": body_of})
    failures.install(app, answers)
    openapi.install(app)
    # For whoever runs the application: what it has to wait for, and what it has to take up and to close.
    app.state.load = context.load
    app.state.models = hosted
    app.state.context = context
    app.state.batches = batches
    app.state.records = records
    # The last one that is added is the first that a request meets.
    app.add_middleware(Guard, governance=context.governance, say=answers.to)
    app.add_middleware(Limited, limits=settings.limits, say=answers.to)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["*"],
        )
    app.add_middleware(Observe, metrics=context.metrics)
    return app
