"""Adapters that come and go over HTTP: who may, from where, and what /v1/models says."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from answer_shapes import check_answer

from dovetail.serve.api.access.admin import create_admin_app
from dovetail.serve.api.adapters import routes
from dovetail.serve.api.app import create_app
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.engine.fake import FakeEngine
from dovetail.serve.errors import UserError
from dovetail.serve.govern.governance import Governance

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"


class AdaptingFake(FakeEngine):
    """Remembers its adapters; takes none named ``bad``."""

    def __init__(self, script):
        super().__init__(script)
        self.adapters: dict[str, Path] = {}

    async def load_adapter(self, name: str, path: Path) -> None:
        if name == "bad":
            raise UserError("it does not fit", code="bad_adapter", param="lora_path")
        self.adapters[name] = path

    async def unload_adapter(self, name: str) -> None:
        del self.adapters[name]


class World:
    """A server, and its administrators' socket."""

    def __init__(self, served, saying, folder: Path | None, engine=AdaptingFake):
        self.engine = engine(saying("hi"))
        settings = ApiSettings(lora_folder=folder)
        app = create_app(self.engine, served, settings)
        admin = create_admin_app(
            Governance(),
            app.state.context.metrics,
            trusted=True,
            more=[lambda admit: routes(app.state.models, settings, admit)],
        )
        self.client = _client(app)
        self.admin = _client(admin)

    async def names(self) -> list[str]:
        return [each["id"] for each in (await self.client.get("/v1/models")).json()["data"]]


def _client(app) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test", event_hooks={"response": [check_answer]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("adapters/sql", "adapters/tests", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "adapters" / "out").symlink_to(tmp_path / "elsewhere")
    return tmp_path / "adapters"


async def test_they_come_and_go(served, saying, folder):
    world = World(served, saying, folder)
    answer = await world.admin.post(LOAD, json={"lora_name": "sql", "lora_path": "sql"})
    assert (answer.status_code, answer.text) == (200, "Success: LoRA adapter 'sql' added successfully.")
    absolute = {"lora_name": "tests", "lora_path": str(folder / "tests"), "model": "tiny"}
    assert (await world.admin.post(LOAD, json=absolute)).status_code == 200
    assert world.engine.adapters == {"sql": folder / "sql", "tests": folder / "tests"}
    assert await world.names() == ["tiny", "sql", "tests"]
    asked = {"model": "sql", "messages": [{"role": "user", "content": "hi"}]}
    answer = await world.client.post("/v1/chat/completions", json=asked)
    assert (answer.json()["model"], world.engine.requests[-1].adapter) == ("sql", "sql")
    again = {"lora_name": "sql", "lora_path": "tests"}
    assert (await world.admin.post(LOAD, json=again)).json()["error"]["code"] == "name_taken"
    assert (await world.admin.post(LOAD, json={**again, "load_inplace": True})).status_code == 200
    assert world.engine.adapters["sql"] == folder / "tests"
    answer = await world.admin.post(UNLOAD, json={"lora_name": "sql"})
    assert answer.text == "Success: LoRA adapter 'sql' removed successfully."
    assert await world.names() == ["tiny", "tests"] and list(world.engine.adapters) == ["tests"]
    assert (await world.client.post("/v1/chat/completions", json=asked)).status_code == 404


async def test_only_administrators(served, saying, folder):
    world = World(served, saying, folder)
    for path, body in ((LOAD, {"lora_name": "sql", "lora_path": "sql"}), (UNLOAD, {"lora_name": "sql"})):
        answer = await world.client.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "admin_only")
    assert not world.engine.adapters


@pytest.mark.parametrize("path", ["../elsewhere", "out", "/etc", "nowhere", "../adapters-not"])
async def test_only_from_the_folder_set_aside(served, saying, folder, path):
    world = World(served, saying, folder)
    answer = await world.admin.post(LOAD, json={"lora_name": "sql", "lora_path": path})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "lora_path")
    assert not world.engine.adapters


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        (LOAD, {"lora_name": "tiny", "lora_path": "sql"}, 400, "lora_name"),
        (LOAD, {"lora_name": "a b", "lora_path": "sql"}, 400, "lora_name"),
        (LOAD, {"lora_name": "bad", "lora_path": "sql"}, 400, "lora_path"),
        (LOAD, {"lora_name": "sql", "lora_path": "sql", "model": "other"}, 404, "model"),
        (LOAD, {"lora_name": "sql"}, 400, "lora_path"),
        (UNLOAD, {"lora_name": "tiny"}, 404, "lora_name"),
        (UNLOAD, {"lora_name": "sql"}, 404, "lora_name"),
    ],
)
async def test_refused_by_name(served, saying, folder, path, body, status, param):
    world = World(served, saying, folder)
    answer = await world.admin.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
    assert await world.names() == ["tiny"]


async def test_servers_and_engines_that_take_none_say_so(served, saying, folder):
    body = {"lora_name": "sql", "lora_path": "sql"}
    answer = await World(served, saying, None).admin.post(LOAD, json=body)
    assert "--lora-folder" in answer.json()["error"]["message"]
    answer = await World(served, saying, folder, engine=FakeEngine).admin.post(LOAD, json=body)
    assert "takes no adapters" in answer.json()["error"]["message"]
