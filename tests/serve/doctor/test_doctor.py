"""What the doctor finds, on machines and configurations with something wrong."""

from __future__ import annotations

import json
import shutil
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from dovetail.models.embedded import WEIGHTS
from dovetail.serve import cli
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.doctor import machine as machine_checks
from dovetail.serve.doctor.check import Check
from dovetail.serve.doctor.doors import doors
from dovetail.serve.doctor.model import models


def by_name(checks) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_the_machine_that_runs_the_tests_is_told() -> None:
    found = by_name(machine_checks.machine())
    assert {"processor", "memory", "disk", "accelerator", "kernels", "recogniser", "clock"} <= set(found)
    assert all(check.fix for check in found.values() if check.state in ("warn", "bad"))


def test_a_clock_that_stands_before_the_installation_is_bad() -> None:
    [check] = machine_checks._clock(now=0.0)
    assert (check.state, "1970" in check.said) == ("bad", True)
    [check] = machine_checks._clock(now=time.time())
    assert check.state in ("good", "note")


def test_kernels_that_are_not_built(monkeypatch) -> None:
    monkeypatch.setattr("dovetail.kernels.cpu.library.instruction_set", lambda: None)
    kernels = by_name(machine_checks._kernels())["kernels"]
    assert (kernels.state, "pip install -e ." in kernels.fix) == ("warn", True)


def test_the_embedded_model_is_well() -> None:
    found = by_name(models(ServerConfig()))
    assert found["licence"].said == "Apache-2.0"
    assert {name: check.state for name, check in found.items() if name != "signature"} == dict.fromkeys(
        ("model", "capabilities", "weights", "manifest", "licence"), "good"
    )
    assert found["signature"].state == "note"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the embedded model without its manifest, README and licence."""
    folder = tmp_path / "model"
    shutil.copytree(WEIGHTS, folder, ignore=shutil.ignore_patterns("README.md", "manifest.json"))
    return folder


def test_a_model_without_licence_and_signature(copied: Path, tmp_path: Path) -> None:
    found = by_name(models(ServerConfig(model=copied)))
    assert (found["licence"].state, found["licence"].said) == ("warn", "not named")
    key = tmp_path / "key.pem"
    key.write_text("no key")
    found = by_name(models(ServerConfig(model=copied, require_signature=key)))
    assert found["signature"].state == "bad"


def test_weights_that_are_not_what_the_manifest_lists(copied: Path) -> None:
    shutil.copy(WEIGHTS / "manifest.json", copied)
    (copied / "generation_config.json").write_text("{}")
    found = by_name(models(ServerConfig(model=copied)))
    assert (found["manifest"].state, "generation_config.json" in found["manifest"].said) == ("bad", True)


def test_a_directory_that_is_no_model(tmp_path: Path) -> None:
    [check] = models(ServerConfig(model=tmp_path))
    assert (check.name, check.state, bool(check.fix)) == ("model", "bad", True)


def test_a_port_that_is_taken_by_a_stranger() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        taken.close()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        check = by_name(doors(ServerConfig(port=port)))["port"]
    assert (check.state, str(port + 1) in check.fix) == ("bad", True)


def test_what_several_servers_share_and_what_they_do_not() -> None:
    url = "postgresql://db/dovetail"
    assert by_name(doors(ServerConfig(port=0, keys=url)))["stored answers"].state == "warn"
    assert "stored answers" not in by_name(doors(ServerConfig(port=0, keys=url, store=url)))
    assert "stored answers" not in by_name(doors(ServerConfig(port=0)))


def test_a_server_for_the_network_without_keys_and_tls() -> None:
    found = by_name(doors(ServerConfig(host="0.0.0.0", port=0)))
    assert (found["callers"].state, found["TLS"].state) == ("bad", "warn")


def test_a_key_file_that_others_can_read(tmp_path: Path) -> None:
    keys = tmp_path / "keys.sqlite"
    assert by_name(doors(ServerConfig(port=0, keys=str(keys))))["key file"].state == "note"
    keys.write_bytes(b"")
    keys.chmod(0o644)
    found = by_name(doors(ServerConfig(port=0, keys=str(keys))))
    assert (found["key file"].state, found["callers"].state) == ("warn", "good")


@pytest.mark.parametrize(("days", "state"), [(-3, "bad"), (10, "warn"), (300, "good")])
def test_certificates_that_end(tmp_path: Path, days: int, state: str) -> None:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number()).not_valid_before(
        now - timedelta(days=9)
    )
    certificate = tmp_path / "cert.pem"
    signed = made.not_valid_after(now + timedelta(days=days)).sign(key, hashes.SHA256())
    certificate.write_bytes(signed.public_bytes(Encoding.PEM))
    config = ServerConfig(port=0, tls_cert=certificate, tls_key=certificate)
    assert by_name(doors(config))["TLS"].state == state


def test_the_command(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("DOVETAIL_PORT", "0")
    told = CliRunner().invoke(cli.app, ["doctor", "--json"])
    assert told.exit_code == 0, told.output
    assert {each["name"] for each in json.loads(told.output)} >= {"processor", "model", "port"}
    told = CliRunner().invoke(cli.app, ["doctor", str(tmp_path)])
    assert told.exit_code == 1
    assert "1 to fix before serving" in told.output
