"""Requests of several adapters in one batch, against engines over merged weights; cached prefixes are an adapter's own."""

from __future__ import annotations

import msgspec
import pytest
from peft_adapter import merged, write_adapter

from dovetail.models.loader import load_model
from dovetail.models.random_checkpoint import write_random_checkpoint
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.engine.native.loop import NativeEngine, NativeSettings
from dovetail.serve.errors import UserError

NAMES = ("one", "two")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("adapters")
    base = write_random_checkpoint(root / "base")
    for seed, name in enumerate(NAMES, 1):
        write_adapter(root / name, base, seed=seed)
        merged(root / f"{name}-merged", base, root / name)
    return root


def engine_over(directory, *adapters, **sizes):
    settings = NativeSettings(**{"max_model_len": 512, "kv_blocks": 400, "block_size": 4, **sizes})
    engine = NativeEngine(load_model(directory), Tokenizer.load(directory), settings, lambda spec: None)
    for path in adapters:
        engine.load_adapter(path.name, str(path))
    return engine


def asking(tiny, adapter, name):
    return msgspec.structs.replace(tiny.request(name=name), adapter=adapter)


@pytest.mark.parametrize("sizes", [{}, {"max_batched_tokens": 8, "max_num_seqs": 8}])
def test_each_request_is_answered_with_its_adapter(tiny, run, folder, sizes):
    engine = engine_over(folder / "base", folder / "one", folder / "two", **sizes)
    asked = [asking(tiny, adapter, str(adapter)) for adapter in (None, *NAMES)]
    results = run(engine, [*asked, asking(tiny, "one", "again")])
    wanted = {
        str(name): run(engine_over(folder / (f"{name}-merged" if name else "base")), [tiny.request()])["r"].tokens
        for name in (None, *NAMES)
    }
    assert {name: results[name].tokens for name in wanted} == wanted
    assert results["again"].tokens == wanted["one"]
    assert len({tuple(tokens) for tokens in wanted.values()}) == 3, "they say different things"


def test_cached_prefixes_are_not_shared(tiny, run, folder):
    engine = engine_over(folder / "base", folder / "one", folder / "two")
    cached = []
    for adapter in ("one", "two", None, "one", "two", None):
        [result] = run(engine, [asking(tiny, adapter, "r")]).values()
        cached.append(result.finish.usage.cached_tokens > 0)
    assert cached == [False, False, False, True, True, True]
    engine.load_adapter("one", str(folder / "two"))
    [result] = run(engine, [asking(tiny, "one", "r")]).values()
    assert result.finish.usage.cached_tokens == 0, "another adapter of the same name"
    assert result.tokens == run(engine, [asking(tiny, "two", "r")])["r"].tokens


def test_an_adapter_that_goes_is_kept_by_who_has_it(tiny, run, folder):
    engine = engine_over(folder / "base", folder / "one")
    whole = run(engine, [asking(tiny, "one", "r")])["r"].tokens
    assert engine.add(asking(tiny, "one", "r")) == []
    tokens = []
    engine.step()
    engine.unload_adapter("one")
    [refused] = engine.add(asking(tiny, "one", "late"))
    assert (refused.status, refused.code) == (404, "model_not_found")
    with pytest.raises(UserError, match="no adapter 'one'"):
        engine.unload_adapter("one")
    while engine.busy:
        tokens += [token for event in engine.step() for token in getattr(event, "tokens", ())]
    assert tokens == whole[len(whole) - len(tokens) :] and tokens


def test_one_that_cannot_be_used_says_why(tiny, folder):
    engine = engine_over(folder / "base")
    with pytest.raises(UserError, match=r"adapter_config\.json: file not found"):
        engine.load_adapter("one", str(folder / "base"))
