"""Envelopes around signed payloads as DSSE v1 has them, with ECDSA keys in PEM files. Knows not what is signed."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

IN_TOTO = "application/vnd.in-toto+json"
_HASHES: dict[int, hashes.HashAlgorithm] = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
_CURVES = "keys are ECDSA on P-256, P-384 or P-521"


class KeyProblem(ValueError):
    """A file that holds no key of the kind that is needed."""


def seal(payload: bytes, key: ec.EllipticCurvePrivateKey, *, key_id: str = "") -> dict[str, Any]:
    """The envelope of an in-toto statement."""
    signature = key.sign(_pae(payload), ec.ECDSA(_HASHES[key.curve.key_size]))
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": IN_TOTO,
        "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": key_id}],
    }


def unseal(envelope: dict[str, Any], key: ec.EllipticCurvePublicKey) -> bytes:
    """The payload.

    Raises:
        InvalidSignature: it was not signed with the key, or was changed.
        KeyError, TypeError, binascii.Error: it is no envelope of one signature over an in-toto statement.
    """
    payload = base64.b64decode(envelope["payload"], validate=True)
    signatures = envelope["signatures"]
    if envelope["payloadType"] != IN_TOTO or len(signatures) != 1:
        raise KeyError("it is not one signature over an in-toto statement")
    signature = base64.b64decode(signatures[0]["sig"], validate=True)
    key.verify(signature, _pae(payload), ec.ECDSA(_HASHES[key.curve.key_size]))
    return payload


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """A name for a key: the digest of its PEM form."""
    return hashlib.sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """The key in a PEM file. Raises KeyProblem."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise KeyProblem(f"{path} is no public key in a PEM file ({error})") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.key_size not in _HASHES:
        raise KeyProblem(f"{path}: {_CURVES}")
    return key


def private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key in a PEM file without a password. Raises KeyProblem."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyProblem(f"{path} is no private key in a PEM file without a password ({error})") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.key_size not in _HASHES:
        raise KeyProblem(f"{path}: {_CURVES}")
    return key


def _pae(payload: bytes) -> bytes:
    """What is signed."""
    return b"DSSEv1 %d %b %d %b" % (len(IN_TOTO), IN_TOTO.encode(), len(payload), payload)
