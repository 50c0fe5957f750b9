"""Makes applications that ask for keys."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from guarded_api import Guarded, hello

from dovetail.serve.api.app import create_app
from dovetail.serve.api.served import ServedModel
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.engine.fake import FakeEngine, Script
from dovetail.serve.govern.access.access import Access
from dovetail.serve.govern.access.document import AccessFile
from dovetail.serve.govern.card.facts import Facts
from dovetail.serve.govern.card.keeper import CardKeeper
from dovetail.serve.govern.governance import Governance
from dovetail.serve.govern.keys.keyring import Keyring
from dovetail.serve.govern.quotas.gate import Gate
from dovetail.serve.govern.quotas.usage import UsageLog
from dovetail.serve.govern.store.database import Database


@pytest.fixture
async def guarded(served: ServedModel) -> AsyncIterator[Callable[..., Guarded]]:
    async with contextlib.AsyncExitStack() as stack:

        def make(
            script: Script = hello, file: AccessFile | None = None, keys: object = ":memory:", **settings: object
        ) -> Guarded:
            file = file or AccessFile()
            database = stack.enter_context(contextlib.closing(Database(str(keys))))
            keyring = Keyring(database, clock=itertools.count().__next__)
            usage = UsageLog(database)
            stack.push_async_callback(usage.close)
            gate = Gate({name: group.quota for name, group in file.groups.items()}, usage.record)
            governance = Governance(Access.of(file, keyring, certificates=False), gate, usage, database)
            engine = FakeEngine(script)
            facts = Facts(
                model=served.name,
                created=served.created,
                context_length=served.max_model_len,
                capabilities=served.capabilities,
                directory=Path(__file__).parent,
                configuration={},
                version="1",
                weights="0" * 64,
            )
            card = CardKeeper(facts, lambda: None)
            app = create_app(engine, served, ApiSettings(**settings), governance=governance, card=card)
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            client = httpx.AsyncClient(transport=transport, base_url="http://test")
            stack.push_async_callback(client.aclose)
            return Guarded(app, engine, client, governance, database)

        yield make
