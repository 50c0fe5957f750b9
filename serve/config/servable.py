"""What would keep a server from starting, found before a model is loaded: no model there, a port that is taken."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from dovetail.serve.config.server import ServerConfig
from dovetail.serve.config.settings import ConfigError, both


def require_servable(config: ServerConfig) -> None:
    """Raise a ConfigError now, not after a model has been loaded, if the model is not there or the port is taken."""
    if config.model is not None:
        require_model(config.model, "model")
    host, port = config.host, config.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise ConfigError(f"{host!r} is no address of this machine.", param="host") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            advice = f"Stop what listens there, or choose another with --port, such as --port {port + 1}."
            raise ConfigError(f"Port {port} on {host} is taken. {advice}", param="port") from error
        raise ConfigError(f"Cannot listen on {host}:{port}: {error.strerror}.", param="host") from error


def require_model(path: Path, param: str, name: str = "") -> None:
    """Raise a ConfigError unless this looks like a model directory or a GGUF file. ``name``: which of several, for the message."""
    if not (path / "config.json").is_file() and not (path.suffix == ".gguf" and path.is_file()):
        which = f"{both(param)} {name}: " if name else ""
        raise ConfigError(
            f"{which}{path} is no model directory: it holds no config.json, nor is it a GGUF file.", param=param
        )
