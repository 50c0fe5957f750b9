"""Where the configuration comes from: options, ``DOVETAIL_*`` variables and a TOML file, read once at the edge.

Options win over variables, variables over the file, the file over the defaults. Unknown keys are refused.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dovetail.serve.config.server import SETTINGS, ServerConfig
from dovetail.serve.config.settings import ConfigError, option_of, parse

ENVIRONMENT_PREFIX = "DOVETAIL_"
NOT_OURS = frozenset({"DOVETAIL_CONFIG", "DOVETAIL_SERVER", "DOVETAIL_API_KEY"})
"""Variables of other parts: the file to read, the server that clients talk to, and the key they bring."""
_KUBERNETES = re.compile(r"DOVETAIL_(SERVICE_.*|PORT_.*)")
"""What Kubernetes puts into every container beside a Service called dovetail."""
_BY_NAME = {each.name: each for each in SETTINGS}


def load_config(flags: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None) -> ServerConfig:
    """The configuration from all three sources; a flag that is None was not given."""
    named = environ.get("DOVETAIL_CONFIG")
    if file is None and named:
        file = Path(named)
    merged = _from_file(file) if file is not None else {}
    merged |= _from_environment(environ)
    for key, value in flags.items():
        if value is not None:
            _require_known(key, key)
            merged[key] = parse(_BY_NAME[key], value, option_of(key))
    return ServerConfig(**merged)


def _from_file(file: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The configuration file {file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration file {file} is not valid TOML: {error}.") from error
    values: dict[str, Any] = {}
    for key, value in table.items():
        _require_known(key, f"{key} in {file}")
        values[key] = parse(_BY_NAME[key], value, f"{key} in {file}")
    return values


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, value in environ.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in NOT_OURS or _KUBERNETES.fullmatch(variable):
            continue
        if variable == "DOVETAIL_PORT" and value.startswith("tcp://"):  # Kubernetes again
            continue
        key = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        _require_known(key, variable)
        values[key] = parse(_BY_NAME[key], value, variable)
    return values


def _require_known(key: str, source: str) -> None:
    if key not in _BY_NAME:
        near = difflib.get_close_matches(key, _BY_NAME, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(f"Unknown configuration key: {source}.{hint}", param=key)
