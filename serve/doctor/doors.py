"""Where the server would listen, who would be let in, and what it would keep: ports, keys, certificates, audit log. Opens nothing."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from cryptography import x509

from dovetail.serve.config.server import ServerConfig
from dovetail.serve.doctor.check import Check
from dovetail.serve.govern.store.database import POSTGRES
from dovetail.serve.listening import UNIX, is_loopback

_SOON_DAYS = 30
_DAY = 86_400
_LITTLE = 2**30


def doors(config: ServerConfig) -> Iterator[Check]:
    """Every check of what others reach."""
    yield _port("port", config.host, config.port)
    if config.admin is not None and not config.admin.startswith(UNIX):
        host, _, port = config.admin.rpartition(":")
        yield _port("administrators' port", host.strip("[]"), int(port))
    yield _keys(config)
    if config.keys is not None and not config.keys.startswith(POSTGRES):
        yield from _file("key file", Path(config.keys))
    elif config.keys is not None and not (config.store or "").startswith(POSTGRES):
        yield Check(
            "stored answers",
            "warn",
            "keys are in PostgreSQL, as for several servers, and answers are kept by this one alone",
            "give --store the same URL (docs/scale-out.md), unless there is one server",
        )
    if config.tls_cert is not None:
        yield _certificate(config.tls_cert)
    elif not is_loopback(config.host):
        fix = "give --tls-cert and --tls-key, or let a proxy on the same machine do it"
        yield Check("TLS", "warn", "keys and prompts would cross the network in the clear", fix)
    yield _audit(config)


def _port(name: str, host: str, port: int) -> Check:
    where = f"{host}:{port}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        other = _who_answers(host, port)
        if other is not None:
            return Check(name, "note", f"{where}: {other} is served there already")
        return Check(
            name, "bad", f"{where}: {error.strerror}", f"end what listens there, or choose another, such as {port + 1}"
        )
    return Check(name, "good", f"{where} is free")


def _who_answers(host: str, port: int) -> str | None:
    shown = f"[{host}]" if ":" in host else "127.0.0.1" if host == "0.0.0.0" else host
    try:
        told = httpx.get(f"http://{shown}:{port}/health", timeout=2.0, trust_env=False).json()
        return f"Dovetail {told['version']}" if told.get("server") == "dovetail" else None
    except (httpx.HTTPError, ValueError, KeyError, AttributeError):
        return None


def _keys(config: ServerConfig) -> Check:
    if config.keys is not None or config.access is not None or config.tls_client_ca is not None:
        return Check("callers", "good", "need a credential")
    if is_loopback(config.host):
        return Check("callers", "note", "nobody is asked for a key; only this machine can reach the server")
    fix = "make a key with 'dovetail keys create NAME --keys FILE', and serve with --keys FILE"
    return Check(
        "callers", "bad", f"{config.host} can be reached from other machines, and nobody is asked for a key", fix
    )


def _file(name: str, path: Path) -> Iterator[Check]:
    if not path.exists():
        yield Check(name, "note", f"{path} is not there yet; the first 'dovetail keys create' makes it")
        return
    if path.stat().st_mode & 0o077:
        yield Check(name, "warn", f"{path} can be read by others on this machine", f"chmod 600 {path}")
    elif not os.access(path, os.R_OK | os.W_OK):
        yield Check(name, "bad", f"{path} cannot be read and written by this user", "run as its owner")
    else:
        yield Check(name, "good", str(path))


def _certificate(path: Path) -> Check:
    try:
        ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError) as error:
        return Check(
            "TLS",
            "bad",
            f"{path} cannot be used: {error}",
            "give a PEM file with the certificate, and its chain behind it",
        )
    days = (ends - time.time()) / _DAY
    if days < 0:
        return Check("TLS", "bad", f"the certificate {path} ended {-days:.0f} days ago", "renew it")
    return Check(
        "TLS",
        "warn" if days < _SOON_DAYS else "good",
        f"{path} is good for {days:.0f} days",
        "renew it soon" if days < _SOON_DAYS else "",
    )


def _audit(config: ServerConfig) -> Check:
    if config.audit is None:
        return Check("audit log", "note", "none is kept", "serve with --audit DIR")
    if config.audit.startswith(POSTGRES):
        return Check("audit log", "good", "kept in PostgreSQL")
    folder = Path(config.audit)
    there = folder if folder.exists() else folder.parent
    if not there.is_dir() or not os.access(there, os.W_OK):
        return Check("audit log", "bad", f"{folder} cannot be written", "make the folder, for the user that serves")
    free = shutil.disk_usage(there).free
    if free < _LITTLE:
        return Check(
            "audit log",
            "warn",
            f"{free / 2**20:.0f} MiB free at {folder}; requests are refused when it is full",
            "make room",
        )
    return Check("audit log", "good", str(folder))
