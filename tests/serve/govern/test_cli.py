"""`dovetail keys` and `dovetail usage`, as the console script runs them."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from dovetail.serve import cli
from dovetail.serve.config.settings import ConfigError
from dovetail.serve.govern.cli import since_of, span_of
from dovetail.serve.govern.keys.keyring import Keyring
from dovetail.serve.govern.principal import Principal, Quota, Scopes
from dovetail.serve.govern.quotas.gate import Gate
from dovetail.serve.govern.quotas.usage import UsageLog
from dovetail.serve.govern.store.database import Database


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    for name in [name for name in os.environ if name.startswith("DOVETAIL_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["dovetail", *arguments])
        script = typer.Typer(add_completion=False)
        script.callback(invoke_without_command=True)(cli.main)
        return CliRunner().invoke(script, [])

    return run


async def match(url: str, text: str) -> Principal | object | None:
    with contextlib.closing(Database(url)) as database:
        return await Keyring(database).match(text)


async def test_a_key_from_making_to_revoking(run: Callable[..., Result], store_url: str) -> None:
    made = run("keys", "create", "ci", "--keys", store_url, "--model", "qwen*", "--endpoint", "/v1/*",
               "--streams", "2", "--expires", "90d", "--admin")  # fmt: skip
    assert made.exit_code == 0, made.stderr
    text = made.stdout.strip()
    key = await match(store_url, text)
    assert key is not None
    assert (key.scopes, key.quota) == (  # type: ignore[attr-defined]
        Scopes(models=("qwen*",), endpoints=("/v1/*",), admin=True),
        Quota(streams=2),
    )
    assert abs(key.expires - time.time() - 90 * 86_400) < 60  # type: ignore[attr-defined]
    listed = run("keys", "list", "--keys", store_url)
    key_id, secret = text.split("_")[1:]
    assert key_id in listed.stdout and "live" in listed.stdout and "streams=2" in listed.stdout
    assert secret not in listed.stdout
    rotated = json.loads(run("keys", "rotate", key_id, "--grace", "1h", "--keys", store_url, "--json").stdout)
    assert rotated["id"] == key_id
    for good in (text, rotated["key"]):
        assert await match(store_url, good) is not None
    assert run("keys", "revoke", key_id, "--keys", store_url).stdout == f"revoked {key_id} (ci)\n"
    [shown] = json.loads(run("keys", "list", "--keys", store_url, "--json").stdout)
    assert (shown["standing"], set(shown) & {"salt", "digest"}) == ("revoked", set())


def test_what_is_refused(run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = str(tmp_path / "keys")
    for arguments, code, message in (
        (["keys", "list"], 2, "DOVETAIL_KEYS"),
        (["keys", "revoke", "none", "--keys", store], 1, "There is no key 'none'"),
        (["keys", "create", "x", "--keys", store, "--expires", "soon"], 2, "is no time"),
        (["keys", "create", "x", "--keys", store, "--group", "team"], 2, "There is no group 'team'"),
        (["keys", "list", "--keys", str(tmp_path)], 1, "cannot be opened"),
        (["usage", "--by", "colour", "--keys", store], 2, "--by must be one of"),
        (["usage", "--since", "once", "--keys", store], 2, "neither a day"),
    ):
        result = run(*arguments)
        assert (result.exit_code, message in result.stderr) == (code, True), (arguments, result.stderr)
    file = tmp_path / "access.toml"
    file.write_text("[groups.team]\n")
    monkeypatch.setenv("DOVETAIL_ACCESS", str(file))
    monkeypatch.setenv("DOVETAIL_KEYS", store)
    assert run("keys", "create", "x", "--group", "team").exit_code == 0


async def test_usage_in_every_form(run: Callable[..., Result], store_url: str) -> None:
    with contextlib.closing(Database(store_url)) as database:
        usage = UsageLog(database)
        gate = Gate(record=usage.record)
        who = Principal(id="k1", name="ci", kind="key")
        gate.admit(who, "/v1/x", "m", 10, 20).settle(10, 5)
        await usage.close()
    whole = {"name": "ci", "requests": 1, "refused": 0, "prompt_tokens": 10, "completion_tokens": 5}
    assert json.loads(run("usage", "--keys", store_url, "--json").stdout) == [{"key": "k1", **whole}]
    lines = list(csv.DictReader(run("usage", "--by", "model", "--keys", store_url, "--csv").stdout.splitlines()))
    assert lines == [{"model": "m", **{name: str(value) for name, value in whole.items() if name != "name"}}]
    today = run("usage", "--by", "day", "--since", "2d", "--keys", store_url).stdout
    assert time.strftime("%Y-%m-%d", time.gmtime()) in today
    assert run("usage", "--since", "2999-01-01", "--keys", store_url, "--json").stdout == "[]\n"


def test_times() -> None:
    assert [span_of(text) for text in ("10s", "2m", "3h", "90d", "1w")] == [10, 120, 10_800, 7_776_000, 604_800]
    assert since_of("1970-01-02") == 86_400
    for text in ("9" * 400 + "d", "101000w"):
        with pytest.raises(ConfigError, match="hundred years"):
            span_of(text)
