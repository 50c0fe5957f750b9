"""Where settings come from, which wins, and what is refused."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.serve.config.server import SETTINGS, ServerConfig
from dovetail.serve.config.settings import ConfigError, parse_size
from dovetail.serve.config.sources import load_config


def test_defaults() -> None:
    config = load_config({}, {})
    assert config == ServerConfig()
    assert (config.host, config.port, config.model, config.max_body_bytes) == ("127.0.0.1", 8000, None, 8 * 2**20)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.port = 1  # type: ignore[misc]


def test_flags_win_over_variables_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "dovetail.toml"
    file.write_text('port = 1\nhost = "0.0.0.0"\nkv_cache_memory = "1GiB"\ndocs = true\n')
    environ = {"DOVETAIL_PORT": "2", "DOVETAIL_HOST": "::1", "DOVETAIL_CONFIG": str(file), "PATH": "/bin"}
    config = load_config({"port": 3, "host": None}, environ)
    assert (config.port, config.host, config.kv_cache_memory, config.docs) == (3, "::1", 2**30, True)


@pytest.mark.parametrize(
    ("text", "size"),
    [("512MiB", 2**29), ("1 gib", 2**30), ("2GB", 2 * 10**9), ("64k", 64_000), ("1.5KiB", 1536), ("7", 7), ("7B", 7)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@given(st.integers(0, 2**50))
def test_a_plain_number_is_bytes(size: int) -> None:
    assert parse_size(str(size)) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1 parsec", "1e3", "1,5GB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("environ", "param", "message"),
    [
        ({"DOVETAIL_PROT": "1"}, "prot", "Unknown configuration key: DOVETAIL_PROT. Did you mean port?"),
        ({"DOVETAIL_PORT": "http"}, "port", "not a whole number"),
        ({"DOVETAIL_PORT": "70000"}, "port", "between 0 and 65535"),
        ({"DOVETAIL_KV_CACHE_MEMORY": "lots"}, "kv_cache_memory", "not a size such as 512MiB"),
        ({"DOVETAIL_DTYPE": "int3"}, "dtype", "must be one of auto"),
        ({"DOVETAIL_LOG_LEVEL": "loud"}, "log_level", "must be one of debug"),
        ({"DOVETAIL_DOCS": "maybe"}, None, "neither true nor false"),
        ({"DOVETAIL_MAX_BATCHED_TOKENS": "8"}, "max_batched_tokens", "at least max_num_seqs"),
        ({"DOVETAIL_TENSOR_PARALLEL_SIZE": "2"}, "tensor_parallel_size", "is for --engine vllm"),
        ({"DOVETAIL_ENGINE": "vllm", "DOVETAIL_QUANTIZE": "int8"}, "quantize", "--engine-arg quantization"),
        ({"DOVETAIL_ENGINE": "vllm", "DOVETAIL_ADD_MODEL": "a=/b"}, "add_model", "one server for each model"),
        ({"DOVETAIL_ENGINE": "vllm", "DOVETAIL_ENGINE_ARG": "eager"}, "engine_arg", "NAME=VALUE"),
        ({"DOVETAIL_ENGINE": "sglang"}, "engine", "must be one of native, vllm"),
        ({"DOVETAIL_CONFIG": "/does/not/exist.toml"}, None, "cannot be read"),
    ],
)
def test_what_is_refused(environ: dict[str, str], param: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config({}, environ)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("text", "message"),
    [("colour = 1", "Unknown configuration key: colour"), ("port =", "not valid TOML"), ("host = 5", "not usable")],
)
def test_a_bad_file(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "dovetail.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config({}, {}, file)


def test_what_kubernetes_injects_is_not_ours() -> None:
    environ = {"DOVETAIL_PORT": "tcp://10.0.0.1:80", "DOVETAIL_SERVICE_HOST": "10.0.0.1", "DOVETAIL_PORT_80_TCP": "x"}
    assert load_config({}, environ) == ServerConfig()


def test_lists_from_every_source(tmp_path: Path) -> None:
    file = tmp_path / "d.toml"
    file.write_text('model_alias = ["a", "b-*"]\n')
    assert load_config({}, {}, file).model_alias == ("a", "b-*")
    assert load_config({}, {"DOVETAIL_MODEL_ALIAS": "c, d"}, file).model_alias == ("c", "d")
    assert load_config({"model_alias": ["e"]}, {"DOVETAIL_MODEL_ALIAS": "c"}).model_alias == ("e",)
    assert load_config({"model_alias": ["e,f", "g"]}, {}).model_alias == ("e", "f", "g")
    file.write_text('model_alias = "a, b"\n')
    assert load_config({}, {}, file).model_alias == ("a", "b")
    assert load_config({"engine": "vllm", "engine_arg": ["a=1,2"]}, {}).engine_arg == ("a=1,2",)
    for wrong in ([1], "a,,b", [""], ["a,"], [","], ["gpt-5=coder"]):
        with pytest.raises(ConfigError):
            load_config({"model_alias": wrong}, {})


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"max_num_seqs": 0}, "max_num_seqs (--max-num-seqs) must be between"),
        ({"dtype": "int3"}, "dtype (--dtype) must be one of"),
        ({"tls_cert": "a"}, "tls_key (--tls-key)"),
        ({"max_batched_tokens": 8}, "max_num_seqs (--max-num-seqs)"),
    ],
)
def test_an_error_names_the_setting_and_its_option(flags, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_config(flags, {})


def test_every_setting_has_a_kind_and_a_default_that_fits_it():
    for setting in SETTINGS:
        if setting.default is not None and setting.kind in ("whole number", "size"):
            assert isinstance(setting.default, int) and not isinstance(setting.default, bool), setting
        elif setting.kind == "true or false":
            assert setting.default is False
        assert setting.choices == () or setting.default is None or setting.default in setting.choices
