"""From the configuration to what governs a server: who may do what, which edits and requests, which weights, what is recorded.

Part of the wiring: says what is wrong in terms of settings. Knows no engine and no endpoint.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path

import msgspec
import structlog

from dovetail import __version__
from dovetail.models.gguf.describe import gguf_of
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.config.settings import ConfigError
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.policy.document import PolicyError, read_policy
from dovetail.serve.errors import ModelError
from dovetail.serve.govern.audit.log import AuditLog, AuditUnavailable
from dovetail.serve.govern.audit.settings import audit_settings
from dovetail.serve.govern.declines.conduct import Conduct
from dovetail.serve.govern.declines.document import BUILT_IN, AcceptableUseError, read_acceptable_use
from dovetail.serve.govern.findings.rules import policy_rules
from dovetail.serve.govern.findings.scan import prepare
from dovetail.serve.govern.governance import Governance, open_governance
from dovetail.serve.govern.weights.files import WeightsProblem, digest_of, digest_of_file, digests_of, require_as_listed
from dovetail.serve.govern.weights.signature import require_signed
from dovetail.serve.hosting import model_path
from dovetail.serve.listening import UNIX, is_loopback

_AUDIT_START_S = 10.0


def server_governance(config: ServerConfig) -> Governance:
    """Who may do what on this server. Raises ConfigError and StoreError where it cannot be used, or lets in the whole network."""
    governance = open_governance(config.keys, config.access, certificates=config.tls_client_ca is not None)
    if governance.access.is_open:
        if not is_loopback(config.host):
            raise ConfigError(
                f"{config.host} can be reached from other machines, so callers need keys: make one with "
                "'dovetail keys create NAME --keys FILE', and serve with --keys FILE (docs/access.md).",
                param="keys",
            )
        if config.admin is not None and not config.admin.startswith(UNIX):
            raise ConfigError(
                "Administrators need keys on a port: serve with --keys FILE, or use --admin unix:PATH.", param="admin"
            )
    return governance


def server_policy(config: ServerConfig) -> Policy | None:
    """The policy in the configured file, its digest logged. Raises ConfigError when it cannot be used."""
    if config.policy is None:
        return None
    try:
        policy = Policy((read_policy(config.policy),))
    except PolicyError as error:
        raise ConfigError(f"{config.policy}: {error.message}", param="policy") from error
    prepare(policy_rules(policy))
    structlog.get_logger("dovetail").info("policy", file=str(config.policy), digest=policy.digest)
    return policy


def server_conduct(config: ServerConfig) -> Conduct | None:
    """What judges requests by the configured acceptable use policy; None: nothing. Raises ConfigError when it cannot be used."""
    if config.acceptable_use == Path("off"):
        return None
    try:
        return Conduct(read_acceptable_use(config.acceptable_use or BUILT_IN))
    except AcceptableUseError as error:
        raise ConfigError(error.message, param="acceptable_use") from error


def weights_digest(path: Path) -> str:
    """Of all files of a model; they are read whole. Raises WeightsProblem."""
    gguf = gguf_of(path)
    return digest_of_file(gguf) if gguf is not None else digest_of(digests_of(path))


def checked_weights(config: ServerConfig) -> str | None:
    """The digest of the model's files, where it is asked for: they are read whole. Raises ModelError unless they are what was
    signed, and what the embedded model's manifest says."""
    path = model_path(config)
    try:
        if config.require_signature is None and config.audit is None and config.model is not None:
            return None
        gguf = gguf_of(path)
        if gguf is not None:
            if config.require_signature is not None:
                raise WeightsProblem(f"{gguf}: GGUF files carry no signature; serve the signed model directory")
            return digest_of_file(gguf)
        files = digests_of(path)
        if config.model is None:
            require_as_listed(path, files)
        if config.require_signature is not None:
            require_signed(path, files, config.require_signature)
        return digest_of(files)
    except WeightsProblem as error:
        raise ModelError(str(error)) from error


def audited(config: ServerConfig, governance: Governance, weights: str | None, policy: Policy | None) -> Governance:
    """``governance`` with the configured audit log, its first record written. Raises ConfigError."""
    settings = audit_settings(config)
    if settings is None:
        return governance
    told = {key: str(value) for key, value in dataclasses.asdict(config).items() if value is not None}
    digest = hashlib.sha256(msgspec.json.encode(told, order="sorted")).hexdigest()
    log = AuditLog(settings, {"model": weights, "policy": policy.digest if policy is not None else None})
    if not log.left_in_order:
        structlog.get_logger("dovetail").warning("the audit log was not closed: the server before this one was killed")
    start = {**log.constants, "version": __version__, "config": digest, "after_crash": not log.left_in_order}
    written = log.record("start", {**start, "pid": os.getpid(), "host": config.host, "port": config.port})
    try:
        written.result(_AUDIT_START_S)
    except (AuditUnavailable, TimeoutError) as error:
        log.close()
        raise ConfigError(f"The audit log cannot be written: {log.counts.failing}.", param="audit") from error
    return dataclasses.replace(governance, audit=log)
