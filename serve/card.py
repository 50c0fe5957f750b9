"""What a running server tells its system card: settings that change answers, files that were read, controls in force.

Part of the wiring: it knows configuration, engine and model directory; the card knows none of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dovetail import __version__
from dovetail.serve.api.served import ServedModel
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.engine.base import Engine
from dovetail.serve.errors import EngineError
from dovetail.serve.govern.card.facts import Facts
from dovetail.serve.govern.card.hosting import Hosting, Loaded, licence
from dovetail.serve.govern.card.keeper import CardKeeper, Place, default_place
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
        "add_model",
        "idle_unload",
        "lora",
        "lora_folder",
        "otlp",
    }
    | {"tls_cert", "tls_key", "tls_client_ca", "cors_origin", "card", "card_key", "max_waiting", "require_signature"}
)
"""Settings that change no answer, that say where things lie, or that a digest, a control or another part of the card speaks of."""


@dataclass(frozen=True)
class Placed:
    """One hosted model. ``weights``: the digest of its files, if they were read; ``read``: reads them."""

    config: ServerConfig
    served: ServedModel
    engine: Engine
    directory: Path
    device: str
    weights: str | None
    read: Callable[[], str]


def card_keeper(models: Sequence[Placed], policy: Policy | None) -> CardKeeper:
    """The cards of the server that is about to run, the first model's first."""
    first, *others = models
    config = first.config
    place = Place.of(config.card) if config.card is not None else default_place()
    keeper = CardKeeper(_facts(first, policy), partial(_loaded, first.engine), place, config.card_key, first.read)
    for each in others:
        keeper.add(Hosting(_facts(each, policy), partial(_loaded, each.engine), each.read))
    return keeper


def _loaded(engine: Engine) -> Loaded | None:
    if not engine.ready:
        return None
    try:
        info = engine.info
    except EngineError:  # it has just died
        return None
    return Loaded(info.architecture, info.parameters, info.weight_bytes, info.dtype, info.kernels or "native")


def _facts(model: Placed, policy: Policy | None) -> Facts:
    config, served, directory = model.config, model.served, model.directory
    values = {key: value for key, value in dataclasses.asdict(config).items() if key not in _ELSEWHERE}
    values = {key: value for key, value in values.items() if not key.startswith("audit")}
    return Facts(
        model=served.name,
        created=served.created,
        context_length=served.max_model_len,
        capabilities=served.capabilities,
        directory=directory,
        configuration={
            **{key: str(value) for key, value in values.items() if value not in (None, False, ())},
            "device": model.device,
        },
        version=__version__,
        switched_on=_switched_on(config),
        watched=_watched(config, directory),
        weights=model.weights,
        policy=policy.digest if policy is not None else None,
        signature=f"checked with {config.require_signature.name}" if config.require_signature else "not required",
        licence=licence(directory),
        quantize=config.quantize,
    )


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
