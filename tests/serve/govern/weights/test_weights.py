"""Model directories: what was changed behind a manifest's or a signature's back is refused, and named."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from typer.testing import CliRunner

from dovetail.models.embedded import WEIGHTS
from dovetail.serve.cli import app
from dovetail.serve.config.sources import load_config
from dovetail.serve.errors import ModelError
from dovetail.serve.govern.weights.files import (
    WeightsProblem,
    digest_of,
    digests_of,
    licence_of,
    require_as_listed,
    require_sane,
    write_manifest,
)
from dovetail.serve.govern.weights.signature import require_signed, sign
from dovetail.serve.governed import checked_weights

SIGNED = Path(__file__).parent / "signed"
"""A small directory signed by the reference implementation, with the public key beside it."""


def key_pair(folder: Path, name: str, curve: ec.EllipticCurve) -> tuple[Path, Path]:
    key = ec.generate_private_key(curve)
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def safetensors(header: object, data: bytes = b"") -> bytes:
    written = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(written).to_bytes(8, "little") + written + data


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "model"
    (directory / "more").mkdir(parents=True)
    tensor = {"w": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}}
    (directory / "model.safetensors").write_bytes(safetensors(tensor, b"12345678"))
    (directory / "config.json").write_text("{}")
    (directory / "tokenizer.json").write_text("{}")
    (directory / "more" / "template.jinja").write_text("x")
    (directory / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return directory


def flip_weights(model: Path) -> None:
    content = bytearray((model / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (model / "model.safetensors").write_bytes(content)


def damage_signature(model: Path) -> None:
    bundle = json.loads((model / "model.sig").read_text())
    signature = bundle["dsseEnvelope"]["signatures"][0]["sig"]
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = (
        signature[:20] + ("A" if signature[20] != "A" else "B") + signature[21:]
    )
    (model / "model.sig").write_text(json.dumps(bundle))


def rewrite_payload(model: Path) -> None:
    bundle = json.loads((model / "model.sig").read_text())
    statement = base64.b64decode(bundle["dsseEnvelope"]["payload"]).replace(b"config.json", b"other.json_")
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(statement).decode()
    (model / "model.sig").write_text(json.dumps(bundle))


def link_weights(model: Path) -> None:
    shutil.move(model / "model.safetensors", model.parent / "elsewhere")
    (model / "model.safetensors").symlink_to(model.parent / "elsewhere")


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte of the weights": (flip_weights, "model.safetensors was changed"),
    "the configuration": (lambda m: (m / "config.json").write_text('{"a":1}'), "config.json was changed"),
    "the tokenizer": (lambda m: (m / "tokenizer.json").write_text("{} "), "tokenizer.json was changed"),
    "a file added": (lambda m: (m / "modeling.py").write_text(""), "modeling.py was added"),
    "a file added below": (lambda m: (m / "more" / "x").write_text(""), "more/x was added"),
    "a file removed": (lambda m: (m / "more" / "template.jinja").unlink(), "more/template.jinja is missing"),
    "a file renamed": (lambda m: (m / "config.json").rename(m / "c.json"), "config.json is missing; c.json was added"),
    "a link": (link_weights, "is no plain file"),
    "the signature": (damage_signature, "was changed"),
    "what was signed": (rewrite_payload, "was changed"),
    "no signature": (lambda m: (m / "model.sig").unlink(), "is not signed"),
    "another file as signature": (lambda m: (m / "model.sig").write_text("[]"), "is no signature of a model"),
}


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_what_was_signed_is_taken(model: Path, tmp_path: Path, curve: ec.EllipticCurve) -> None:
    private, public = key_pair(tmp_path, "key", curve)
    sign(model, digests_of(model), private)
    assert require_signed(model, digests_of(model), public) == model / "model.sig"


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_refused_at_load_and_named(model: Path, tmp_path: Path, change: str) -> None:
    private, public = key_pair(tmp_path, "key", ec.SECP256R1())
    sign(model, digests_of(model), private)
    config = load_config({"model": model, "require_signature": public}, {})
    assert checked_weights(config) == digest_of(digests_of(model))
    act, said = CHANGES[change]
    act(model)
    with pytest.raises(ModelError, match=said.replace(".", r"\.")):
        checked_weights(config)


def test_another_key_is_refused(model: Path, tmp_path: Path) -> None:
    private, _ = key_pair(tmp_path, "key", ec.SECP256R1())
    sign(model, digests_of(model), private)
    for curve in (ec.SECP256R1(), ec.SECP384R1()):
        _, other = key_pair(tmp_path, curve.name, curve)
        with pytest.raises(WeightsProblem, match="was not made with the key"):
            require_signed(model, digests_of(model), other)
    wrong = tmp_path / "ed.pub"
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    wrong.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(WeightsProblem, match="ECDSA"):
        require_signed(model, digests_of(model), wrong)
    with pytest.raises(WeightsProblem, match="no public key"):
        require_signed(model, digests_of(model), private)


def test_a_signature_of_the_reference_implementation_is_taken() -> None:
    directory = SIGNED / "model"
    assert require_signed(directory, digests_of(directory), SIGNED / "key.pub") == SIGNED / "model.sig"


def payload_of(bundle: Path) -> dict[str, Any]:
    return json.loads(base64.b64decode(json.loads(bundle.read_bytes())["dsseEnvelope"]["payload"]))


def test_what_is_signed_here_says_what_the_reference_implementation_signs(tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(SIGNED / "model", copy)
    private, _ = key_pair(tmp_path, "key", ec.SECP256R1())
    own, theirs = payload_of(sign(copy, digests_of(copy), private)), payload_of(SIGNED / "model.sig")
    for statement in (own, theirs):
        statement["predicate"]["serialization"].pop("ignore_paths")
    assert own == theirs


def test_a_manifest_shows_changes(model: Path) -> None:
    write_manifest(model, digests_of(model))
    require_as_listed(model, digests_of(model))
    before = digest_of(digests_of(model))
    flip_weights(model)
    with pytest.raises(WeightsProblem, match=r"model\.safetensors was changed"):
        require_as_listed(model, digests_of(model))
    assert digest_of(digests_of(model)) != before


def test_the_embedded_model_is_what_its_manifest_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked_weights(load_config({}, {})) == digest_of(digests_of(WEIGHTS))
    copy = tmp_path / "weights"
    shutil.copytree(WEIGHTS, copy)
    flip_weights(copy)
    monkeypatch.setattr("dovetail.serve.hosting.WEIGHTS", copy)
    with pytest.raises(ModelError, match=r"model\.safetensors was changed"):
        checked_weights(load_config({}, {}))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot have"),
        ((10**12).to_bytes(8, "little"), "cannot have"),
        (safetensors(b"{nonsense"), "damaged"),
        (safetensors([1]), "damaged"),
        (safetensors({"w": {"dtype": "F16", "shape": [2], "data_offsets": [0, 8]}}, b"12345678"), "lie about"),
        (safetensors({"w": {"dtype": "F16", "shape": [4], "data_offsets": [4, 12]}}, b"1" * 12), "gaps"),
        (safetensors({"w": {"dtype": "F16", "shape": [4], "data_offsets": [0, 8]}}, b"1234"), "announced"),
        (safetensors({"w": {"dtype": "F16", "shape": ["x"], "data_offsets": [0, 8]}}, b"1234"), "damaged"),
        (safetensors({"w": {"dtype": "object", "shape": [4], "data_offsets": [0, 8]}}, b"1234"), "damaged"),
    ],
)
def test_headers_that_lie_are_refused(model: Path, content: bytes, said: str) -> None:
    assert require_sane(model, digests_of(model)) == 1
    (model / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightsProblem, match=said):
        require_sane(model, digests_of(model))


def test_pickles_are_refused_even_beside_safetensors(model: Path) -> None:
    (model / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(WeightsProblem, match="can run code"):
        require_sane(model, digests_of(model))


def test_the_command(model: Path, tmp_path: Path) -> None:
    private, public = key_pair(tmp_path, "key", ec.SECP256R1())
    run = CliRunner().invoke
    assert licence_of(model) == "apache-2.0"
    made = run(app, ["verify", str(model), "--write", "--sign", str(private), "--key", str(public)])
    assert made.exit_code == 0, made.output
    checked = run(app, ["verify", str(model), "--key", str(public)])
    assert (
        checked.exit_code == 0
        and "as its manifest lists" in checked.output
        and "signed with this key" in checked.output
    )
    (model / "tokenizer.json").write_text("changed")
    assert "tokenizer.json was changed" in str(run(app, ["verify", str(model), "--key", str(public)]).exception)


def test_a_gguf_file_has_a_digest_and_no_signature(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF and more")
    run = CliRunner().invoke
    told = run(app, ["verify", str(path)])
    assert told.exit_code == 0 and hashlib.sha256(b"GGUF and more").hexdigest() in told.output
    _, public = key_pair(tmp_path, "key", ec.SECP256R1())
    assert "leave out --key" in str(run(app, ["verify", str(path), "--key", str(public)]).exception)
    path.write_bytes(b"something else")
    assert "is no GGUF file" in str(run(app, ["verify", str(path)]).exception)


def test_a_gguf_file_is_not_served_where_signatures_are_demanded(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    (tmp_path / "described").mkdir()
    (tmp_path / "described" / "weights.gguf").symlink_to(tmp_path / "model.gguf")
    config = load_config({"model": tmp_path / "described", "audit": str(tmp_path / "audit")}, {})
    assert checked_weights(config) == hashlib.sha256(b"GGUF").hexdigest()
    _, public = key_pair(tmp_path, "key", ec.SECP256R1())
    with pytest.raises(ModelError, match="carry no signature"):
        checked_weights(load_config({"model": tmp_path / "described", "require_signature": public}, {}))
