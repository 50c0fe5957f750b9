"""What a running server tells its system card: settings that change answers, files that were read, controls in force.

Part of the wiring: it knows configuration, engine and model directory; the card knows none of them.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from dovetail import __version__
from dovetail.serve.api.served import ServedModel
from dovetail.serve.config import ServerConfig
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.engine.base import Engine
from dovetail.serve.govern.card.document import Loaded
from dovetail.serve.govern.card.facts import Facts
from dovetail.serve.govern.card.keeper import CardKeeper, Place, default_place, licence
from dovetail.serve.govern.card.statements import Control

_ELSEWHERE = frozenset(
    {
        "model",
        "model_name",
        "host",
        "port",
        "admin",
        "drain_seconds",
        "log_format",
        "log_level",
        "store",
        "docs",
        "keys",
        "access",
        "policy",
    }
    | {"tls_cert", "tls_key", "tls_client_ca", "cors_origin", "card", "card_key", "max_waiting", "require_signature"}
)
"""Settings that change no answer, that say where things lie, or that a digest or a control speaks of."""


def card_keeper(
    config: ServerConfig,
    served: ServedModel,
    engine: Engine,
    *,
    directory: Path,
    weights: str | None,
    policy: Policy | None,
    device: str,
) -> CardKeeper:
    """The cards of the server that is about to run. ``weights``: the digest of the model's files, if they were read."""

    def loaded() -> Loaded | None:
        if not engine.ready:
            return None
        info = engine.info
        return Loaded(info.architecture, info.parameters, info.weight_bytes, info.dtype, info.kernels or "native")

    values = {key: value for key, value in dataclasses.asdict(config).items() if key not in _ELSEWHERE}
    values = {key: value for key, value in values.items() if not key.startswith("audit")}
    facts = Facts(
        model=served.name,
        created=served.created,
        context_length=served.max_model_len,
        capabilities=served.capabilities,
        directory=directory,
        configuration={
            **{key: str(value) for key, value in values.items() if value not in (None, False, ())},
            "device": device,
        },
        version=__version__,
        switched_on=_switched_on(config),
        watched=_watched(config, directory),
        weights=weights,
        policy=policy.digest if policy is not None else None,
        signature=f"checked with {config.require_signature.name}" if config.require_signature else "not required",
        licence=licence(directory),
        quantize=config.quantize,
    )
    place = Place.of(config.card) if config.card is not None else default_place()
    return CardKeeper(facts, loaded, place, config.card_key)


def _switched_on(config: ServerConfig) -> frozenset[Control]:
    controls: dict[Control, bool] = {
        "policy": config.policy is not None,
        "carriers": not config.no_carriers,
        "keys": config.keys is not None or config.access is not None or config.tls_client_ca is not None,
        "audit": config.audit is not None,
        "signature": config.require_signature is not None,
        "declines": config.acceptable_use != Path("off"),
    }
    return frozenset(name for name, on in controls.items() if on)


def _watched(config: ServerConfig, directory: Path) -> tuple[Path, ...]:
    """Files that were read at the start: what they say now is not in force."""
    named = (config.policy, config.acceptable_use, config.access, config.require_signature)
    given = [path for path in named if path is not None and path != Path("off")]
    model = [directory] if directory.is_file() else sorted(path for path in directory.iterdir() if path.is_file())
    return (*given, *model)
