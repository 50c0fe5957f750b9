"""Tenants share no prefixes and see no objects of others; a batch is its owner's, also after a restart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from guarded_api import ANSWER, ASKED, CHAT, PROMPT, begun_batch, ended_batch

from dovetail.serve.engine.fake import Step
from dovetail.serve.govern.access.document import AccessFile, Group
from dovetail.serve.govern.keys.table import revoke_key
from dovetail.serve.govern.principal import Quota
from dovetail.serve.types import Request


async def test_tenants_share_no_cached_prefixes(guarded, api) -> None:
    guard = guarded(file=AccessFile(groups={"team": Group()}))
    salts = []
    for fields in ({}, {}, {"group": "team"}, {"group": "team"}):
        key = guard.key(**fields)
        for own in (None, "mine"):
            await guard.post(CHAT, {**ASKED, "cache_salt": own}, key)
            salts.append(guard.engine.requests[-1].cache_salt)
    assert None not in salts
    assert len(set(salts[:4])) == 4
    assert salts[4:6] == salts[6:8]
    assert len(set(salts)) == 6
    await api.post(CHAT, ASKED)
    assert api.engine.requests[-1].cache_salt is None


async def test_tenants_do_not_see_each_others_objects(guarded) -> None:
    api = guarded(file=AccessFile(groups={"team": Group()}))
    one, other, member, mate = api.key(), api.key(), api.key(group="team"), api.key(group="team")
    made = {}
    for path, body in (
        ("/v1/responses", {"input": "hi"}),
        ("/v1/responses", {"input": "hi", "background": True}),
        ("/v1/conversations", {}),
        (CHAT, {**ASKED, "store": True}),
    ):
        for key in (one, member):
            answer = await api.post(path, body, key)
            made[f"{path}/{answer.json()['id']}"] = key
    for key in (one, member):
        batch = await begun_batch(api, key)
        made[f"/v1/files/{batch['input_file_id']}"] = key
        made[f"/v1/files/{batch['input_file_id']}/content"] = key
        made[f"/v1/batches/{batch['id']}"] = key
    assert len(made) == 14
    for path, key in made.items():
        for asking in (one, other, member, mate):
            mine = asking == key or {asking, key} == {member, mate}
            answer = await api.client.get(path, headers={"x-api-key": asking})
            assert answer.status_code == (200 if mine else 404), path
            if not mine:
                assert (await api.client.delete(path, headers={"x-api-key": asking})).status_code in (404, 405), path
    for path in ("/v1/files", "/v1/batches", CHAT):
        assert (await api.client.get(path, headers={"x-api-key": other})).json()["data"] == [], path
        assert (await api.client.get(path, headers={"x-api-key": mate})).json()["data"], path


async def test_a_batch_counts_for_its_owner(guarded) -> None:
    api = guarded()
    key = api.key(quota=Quota(tokens_per_minute=3000))
    batch = await begun_batch(api, key)
    assert (await ended_batch(api, batch["id"], key))["request_counts"]["completed"] == 1
    assert (await api.used()) == [(1, 0, PROMPT, ANSWER)]
    assert api.engine.requests[0].cache_salt == key.split("_")[1]


async def test_a_batch_goes_on_after_a_restart_for_its_owner_alone(guarded, tmp_path) -> None:
    def waits(request: Request) -> Iterator[Step]:
        yield 60.0

    first = guarded(waits, store=tmp_path / "store", keys=tmp_path / "keys")
    keys = [first.key(), first.key()]
    batches = [await begun_batch(first, key) for key in keys]
    while first.engine.running < 2:  # noqa: ASYNC110 (the engine is another task's)
        await asyncio.sleep(0.01)
    await first.app.state.batches.close()
    first.database.call(lambda session: revoke_key(session, keys[1].split("_")[1], now=time.time()))
    second = guarded(store=tmp_path / "store", keys=tmp_path / "keys")
    second.app.state.batches.resume()
    good = await ended_batch(second, batches[0]["id"], keys[0])
    assert good["request_counts"] == {"total": 1, "completed": 1, "failed": 0}
    await asyncio.sleep(0.1)
    assert [request.cache_salt for request in second.engine.requests] == [keys[0].split("_")[1]]
    await second.app.state.batches.close()
