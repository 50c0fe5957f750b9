"""Signatures of models in the format of OpenSSF Model Signing v1.0: a sigstore bundle around a DSSE envelope around a statement.

Keys only (ECDSA on P-256, P-384 or P-521): certificates and transparency logs would need the network. Nothing is asked of it.
"""

from __future__ import annotations

import binascii
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from dovetail.serve.govern import dsse
from dovetail.serve.govern.weights.files import Digests, WeightsProblem, differences

SIGNATURES = ("model.sig", "claims.jsonl")
"""Names of the signature in, or beside, the directory. model-signing itself proposes the first."""

_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"


class _Resource(msgspec.Struct, frozen=True):
    name: str
    algorithm: str
    digest: str


class _Predicate(msgspec.Struct, frozen=True):
    resources: tuple[_Resource, ...]
    serialization: dict[str, Any]


class _Subject(msgspec.Struct, frozen=True):
    digest: dict[str, str]


class _Statement(msgspec.Struct, frozen=True, rename={"type": "_type", "predicate_type": "predicateType"}):
    type: str
    predicate_type: str
    subject: tuple[_Subject, ...]
    predicate: _Predicate


def require_signed(directory: Path, files: Digests, key: Path) -> Path:
    """The signature's file. Raises WeightsProblem unless exactly these files were signed with ``key``'s private half."""
    path = signature_of(directory)
    try:
        payload = _verified(path.read_bytes(), _public_key(key))
        expected = _signed_files(payload)
    except (
        msgspec.DecodeError,
        msgspec.ValidationError,
        KeyError,
        TypeError,
        binascii.Error,
        UnicodeDecodeError,
    ) as error:
        raise WeightsProblem(f"{path} is no signature of a model: {error}") from error
    except InvalidSignature as error:
        raise WeightsProblem(f"{path} was not made with the key of {key}, or was changed") from error
    own = path.relative_to(directory).as_posix() if path.is_relative_to(directory) else None
    differing = differences({name: digest for name, digest in files.items() if name != own}, expected)
    if differing:
        raise WeightsProblem(f"{directory} is not what was signed: {'; '.join(differing)}")
    return path


def sign(directory: Path, files: Digests, key: Path) -> Path:
    """Sign the files; the signature is put into the directory."""
    private = _private_key(key)
    listed = {name: digest for name, digest in files.items() if name not in SIGNATURES}
    root = hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in listed.values())).hexdigest()
    resources = [{"name": name, "algorithm": "sha256", "digest": digest} for name, digest in listed.items()]
    serialization = {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": [SIGNATURES[0], ".git", ".gitignore", ".gitattributes", ".github"],
    }
    statement = {
        "_type": _STATEMENT,
        "subject": [{"name": directory.resolve().name, "digest": {"sha256": root}}],
        "predicateType": _PREDICATE,
        "predicate": {"serialization": serialization, "resources": resources},
    }
    payload = json.dumps(statement).encode()
    bundle = {
        "mediaType": _BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": dsse.key_id(private.public_key())}, "tlogEntries": []},
        "dsseEnvelope": dsse.seal(payload, private),
    }
    path = directory / SIGNATURES[0]
    path.write_text(json.dumps(bundle), encoding="utf-8")
    return path


def signature_of(directory: Path) -> Path:
    """Where the signature of a model lies. Raises WeightsProblem where there is none."""
    places: Sequence[Path] = [
        *(directory / name for name in SIGNATURES),
        directory.parent / f"{directory.resolve().name}.sig",
    ]
    for path in places:
        if path.is_file() and not path.is_symlink():
            return path
    raise WeightsProblem(
        f"{directory} is not signed: there is no {SIGNATURES[0]} in it, and no {places[-1].name} beside it"
    )


def _verified(content: bytes, key: ec.EllipticCurvePublicKey) -> bytes:
    """The signed payload. Raises InvalidSignature."""
    return dsse.unseal(msgspec.json.decode(content, type=dict[str, Any])["dsseEnvelope"], key)


def _signed_files(payload: bytes) -> Digests:
    statement = msgspec.json.decode(payload, type=_Statement)
    if statement.type != _STATEMENT or statement.predicate_type != _PREDICATE or len(statement.subject) != 1:
        raise TypeError(f"it is no statement of {_PREDICATE}")
    if statement.predicate.serialization.get("method") != "files":
        raise TypeError("it signs pieces of files; sign whole files (model_signing's default)")
    resources = statement.predicate.resources
    if any(each.algorithm != "sha256" for each in resources):
        raise TypeError("it has digests of another kind than sha256")
    root = hashlib.sha256(b"".join(bytes.fromhex(each.digest) for each in resources)).hexdigest()
    if statement.subject[0].digest.get("sha256") != root:
        raise TypeError("its own digest is not that of what it lists")
    return {each.name: each.digest for each in resources}


def _public_key(path: Path) -> ec.EllipticCurvePublicKey:
    try:
        return dsse.public_key(path)
    except dsse.KeyProblem as error:
        raise WeightsProblem(str(error)) from error


def _private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        return dsse.private_key(path)
    except dsse.KeyProblem as error:
        raise WeightsProblem(str(error)) from error
