"""A byte-level codec, a fake model and two ways to reach the application: in process, and through a real server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import httpx
import pytest
import uvicorn

from dovetail.serve.api.app import create_app
from dovetail.serve.api.served import ChatMessage, ServedModel
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.engine.fake import FakeEngine, Script, Step, reply
from dovetail.serve.govern.governance import Governance
from dovetail.serve.types import Markers, Request, SourceFile

sys.path.insert(0, str(Path(__file__).parent))  # edit_scripts
from answer_shapes import check_answer


class ByteCodec:
    """One token per byte; 256 begins a text, 257 ends one."""

    size = 258
    eos_ids = frozenset({257})
    special: Mapping[str, int] = MappingProxyType({"<s>": 256, "</s>": 257})

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def encode_prompt(self, text: str, *, add_bos: bool = True) -> list[int]:
        return [256, *text.encode()] if add_bos else list(text.encode())

    def decode(self, ids: Iterable[int]) -> str:
        return bytes(token for token in ids if token < 256).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes | None:
        return bytes([token]) if token < 256 else None


CODEC = ByteCodec()


class ByteFillIn:
    """258, what stands before the gap, 259, what stands behind it, 260; files before all, each as 261, path, line feed, text."""

    stop_ids = (258, 259, 260)

    def prompt(
        self,
        prefix: str | Sequence[int],
        suffix: str,
        files: Sequence[tuple[str, str]] = (),
        path: str = "",
        limit: int | None = None,
    ) -> tuple[list[int], bool]:
        before = list(prefix.encode()) if isinstance(prefix, str) else list(prefix)
        shown = [token for file in files for token in (261, *"\n".join(file).encode())]
        own = [261, *path.encode()] if path else []
        ids = [*shown, *own, 258, *before, 259, *suffix.encode(), 260]
        cut = limit is not None and len(ids) > limit
        return (ids[-limit:] if limit is not None and cut else ids), cut


def render_chat(messages: list[ChatMessage], tools: object = (), effort: str | None = None) -> list[int]:
    return CODEC.encode("".join(f"<{each['role']}>{each['content']}\n" for each in messages))


def render_edit(files: tuple[SourceFile, ...], instruction: str, markers: Markers) -> list[int]:
    return CODEC.encode("".join(f"{file.path}\n{file.content}\n" for file in files) + instruction)


def served_model(max_model_len: int = 4096) -> ServedModel:
    return ServedModel(
        name="tiny",
        created=1_700_000_000,
        max_model_len=max_model_len,
        codec=CODEC,
        render_chat=render_chat,
        render_edit=render_edit,
    )


def hello(request: Request) -> Iterable[Step]:
    return reply(request, ["Hel", "lo, ", "wörld"], CODEC.encode)


def says(*pieces: str, delay: float = 0.0) -> Script:
    return lambda request: reply(request, pieces, CODEC.encode, delay=delay)


@dataclass
class Api:
    """An application in process, and its engine."""

    engine: FakeEngine
    client: httpx.AsyncClient

    async def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        return await self.client.post(path, json=body, headers=headers)


@pytest.fixture
def served() -> ServedModel:
    return served_model()


@pytest.fixture
def filling() -> ServedModel:
    """A model with tokens for filling in the middle."""
    return replace(served_model(), fim=ByteFillIn())


@pytest.fixture
def codec() -> ByteCodec:
    return CODEC


@pytest.fixture
def saying() -> Callable[..., Script]:
    return says


@pytest.fixture
async def make_api() -> AsyncIterator[Callable[..., Api]]:
    async with contextlib.AsyncExitStack() as stack:

        def make(
            script: Script = hello, *, ready: bool = True, served: ServedModel | None = None, **settings: object
        ) -> Api:
            engine = FakeEngine(script, ready=ready)
            app = create_app(engine, served or served_model(), ApiSettings(**settings))  # type: ignore[arg-type]
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            hooks = {"response": [check_answer]}
            client = httpx.AsyncClient(transport=transport, base_url="http://test", event_hooks=hooks)
            stack.push_async_callback(client.aclose)
            return Api(engine, client)

        yield make


@pytest.fixture
def api(make_api: Callable[..., Api]) -> Api:
    return make_api()


@dataclass
class Live:
    """A real server on a free port, and its engine."""

    engine: FakeEngine
    url: str
    client: httpx.AsyncClient

    async def until(self, condition: Callable[[], bool], seconds: float = 2.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 (what is awaited lies in another task's hands)
                await asyncio.sleep(0.005)


@pytest.fixture
async def make_live() -> AsyncIterator[Callable[..., object]]:
    async with contextlib.AsyncExitStack() as stack:

        async def make(
            script: Script = hello,
            *,
            served: ServedModel | None = None,
            governance: Governance | None = None,
            **settings: object,
        ) -> Live:
            engine = FakeEngine(script)
            app = create_app(
                engine,
                served or served_model(),
                ApiSettings(**settings),  # type: ignore[arg-type]
                governance=governance,
            )
            listening = socket.create_server(("127.0.0.1", 0))
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", lifespan="off"))
            task = asyncio.create_task(server.serve(sockets=[listening]))

            async def stop() -> None:
                server.should_exit = True
                await task

            stack.push_async_callback(stop)
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            client = httpx.AsyncClient(base_url=url, timeout=10)
            stack.push_async_callback(client.aclose)
            return Live(engine, url, client)

        yield make
