"""What is to be served: whether it is whole, what it can, its licence and its signature. Reads its files, runs nothing of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dovetail.models.errors import ModelDirectoryError
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.doctor.check import Check
from dovetail.serve.errors import DovetailError
from dovetail.serve.govern.weights.files import (
    WeightsProblem,
    digest_of,
    digests_of,
    licence_of,
    listed_in,
    require_as_listed,
    require_sane,
)
from dovetail.serve.govern.weights.signature import require_signed, signature_of
from dovetail.serve.hosting import model_configs, model_path, served_model, worker_configs
from dovetail.serve.worker import WorkerConfig

_CAPABLE = "it needs a chat template or an edit template"


def models(config: ServerConfig) -> Iterator[Check]:
    """Every check of the configured models."""
    try:
        configs = model_configs(config)
    except DovetailError as error:
        yield Check("model", "bad", error.message, "look at the names and directories of the models")
        return
    for each in configs:
        yield from _model(each)


def _model(config: ServerConfig) -> Iterator[Check]:
    path = model_path(config)
    try:
        [worker] = worker_configs([config])
        served = served_model(config, worker)
    except (DovetailError, ModelDirectoryError) as error:
        yield Check("model", "bad", str(error), "give another MODEL_DIR; dovetail models lists those that are found")
        return
    blocks = f", {worker.kv_blocks:,} KV blocks" if isinstance(worker, WorkerConfig) else ""
    said = f"{served.name} on {worker.device}, {worker.max_model_len:,} tokens of context{blocks}"
    yield Check("model", "good", said)
    can = served.capabilities
    yield Check(
        "capabilities", "good" if "edits" in can else "warn", ", ".join(can), "" if "edits" in can else _CAPABLE
    )
    try:
        files = digests_of(path)
        tensors = require_sane(path, files)
    except WeightsProblem as error:
        yield Check("weights", "bad", error.message, "copy the model again: its files are not what they should be")
        return
    yield Check("weights", "good", f"{len(files)} files, {tensors} tensors, sha256:{digest_of(files)[:16]}…")
    if listed_in(path) is not None:
        try:
            require_as_listed(path, files)
            yield Check("manifest", "good", "the files are as it lists")
        except WeightsProblem as error:
            yield Check(
                "manifest",
                "bad",
                error.message,
                "copy the model again, or write a new manifest: dovetail verify --write",
            )
    code = sorted(name for name in files if name.endswith(".py"))
    if code:
        yield Check("code", "note", f"never run: {', '.join(code)}")
    licence = licence_of(path)
    known = licence != UNKNOWN
    fix = "" if known else "find the licence before others use it: put its text beside the weights as LICENSE"
    yield Check("licence", "good" if known else "warn", licence, fix)
    yield _signature(config, files)


UNKNOWN = "not named"


def _signature(config: ServerConfig, files: Mapping[str, str]) -> Check:
    path, key = model_path(config), config.require_signature
    try:
        if key is not None:
            return Check("signature", "good", f"signed with the key of {key}: {require_signed(path, files, key).name}")
        found = signature_of(path)
    except WeightsProblem as error:
        if key is not None:
            return Check(
                "signature",
                "bad",
                error.message,
                "serve the model as its maker signed it, or sign it: dovetail verify --sign",
            )
        return Check(
            "signature",
            "note",
            "none",
            "dovetail verify MODEL_DIR --sign KEY makes one; --require-signature asks for it",
        )
    return Check(
        "signature", "note", f"{found.name}, not checked", "give its maker's public key: --require-signature KEY"
    )
