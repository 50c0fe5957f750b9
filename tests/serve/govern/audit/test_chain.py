"""Every change of a log's files is found, and the first bad record named."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from dovetail.serve.config.settings import ConfigError
from dovetail.serve.govern.audit.anchor import Anchor, Seal, read_anchor, write_anchor
from dovetail.serve.govern.audit.chain import Link, line_of
from dovetail.serve.govern.audit.log import AuditLog
from dovetail.serve.govern.audit.settings import AuditSettings
from dovetail.serve.govern.audit.verify import verify, verify_files

RECORDS = 24
Lines = list[bytes]
Mutation = Callable[[random.Random, Lines], Lines]


def chain(count: int = RECORDS) -> tuple[Lines, Anchor]:
    link, lines = Link(), []
    for number in range(count):
        line, link = line_of({"kind": "answered", "who": {"id": f"k{number % 3}"}, "outputs": [{"digest": "ab"}]}, link)
        lines.append(line)
    return lines, Anchor(name="audit", count=link.count, hash=link.hash, closed=True)


def verdict(lines: Lines, anchor: Anchor | None, split: int = 9) -> str | None:
    files = [("a-000001", b"".join(lines[:split])), ("a-000002", b"".join(lines[split:]))]
    return verify_files([(name, io.BytesIO(content)) for name, content in files], anchor).problem


def flip(draw: random.Random, lines: Lines) -> Lines:
    at = draw.randrange(len(lines))
    byte = draw.randrange(len(lines[at]))
    changed = lines[at][byte] ^ (1 << draw.randrange(8))
    return [*lines[:at], lines[at][:byte] + bytes([changed]) + lines[at][byte + 1 :], *lines[at + 1 :]]


def delete(draw: random.Random, lines: Lines) -> Lines:
    at = draw.randrange(len(lines))
    return lines[:at] + lines[at + 1 + draw.randrange(3) :]


def swap(draw: random.Random, lines: Lines) -> Lines:
    one, other = draw.sample(range(len(lines)), 2)
    swapped = list(lines)
    swapped[one], swapped[other] = lines[other], lines[one]
    return swapped


def duplicate(draw: random.Random, lines: Lines) -> Lines:
    at = draw.randrange(len(lines))
    return [*lines[: at + 1], lines[at], *lines[at + 1 :]]


def insert(draw: random.Random, lines: Lines) -> Lines:
    at = draw.randrange(len(lines) + 1)
    forged, _ = line_of({"kind": "forged"}, Link(at, hashlib.sha256(draw.randbytes(8)).hexdigest()))
    return [*lines[:at], draw.choice([forged, b"\n", b"{}\n", draw.randbytes(20) + b"\n"]), *lines[at:]]


def truncate(draw: random.Random, lines: Lines) -> Lines:
    whole = b"".join(lines)
    return whole[: draw.randrange(len(whole))].splitlines(keepends=True)


def space(draw: random.Random, lines: Lines) -> Lines:
    """The same JSON, written otherwise."""
    at = draw.randrange(len(lines))
    written = draw.choice(
        [lines[at].replace(b":", b": ", 1), lines[at][:-1] + b" \n", b" " + lines[at], lines[at][:-1] + b"\r\n"]
    )
    return [*lines[:at], written, *lines[at + 1 :]]


def rehash(draw: random.Random, lines: Lines) -> Lines:
    """One record is changed and hashed anew."""
    at = draw.randrange(len(lines))
    prev = lines[at].split(b'"prev":"')[1][:64].decode()
    line, _ = line_of({"kind": "answered", "who": {"id": "someone else"}}, Link(at, prev))
    return [*lines[:at], line, *lines[at + 1 :]]


def rewrite(draw: random.Random, lines: Lines) -> Lines:
    """A record is changed, and every one after it chained anew: only the anchor knows."""
    at = draw.randrange(len(lines))
    link = Link(at, lines[at].split(b'"prev":"')[1][:64].decode())
    changed = lines[:at]
    for _ in lines[at:]:
        line, link = line_of({"kind": "answered", "who": {"id": "nobody"}}, link)
        changed.append(line)
    return changed


def append(draw: random.Random, lines: Lines) -> Lines:
    """A record that fits is added behind the end of a closed log."""
    line, _ = line_of({"kind": "forged"}, Link(len(lines), lines[-1][-68:-4].decode()))
    return [*lines, line[: draw.randrange(1, len(line) + 1)]]


MUTATIONS: list[Mutation] = [flip, delete, swap, duplicate, insert, truncate, space, rehash, rewrite, append]


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_ten_times_a_thousand_mutations_are_each_found(mutation: Mutation) -> None:
    lines, anchor = chain()
    assert verdict(lines, anchor) is None
    draw = random.Random(mutation.__name__)
    for _ in range(1000):
        changed = mutation(draw, lines)
        assert changed != lines
        assert verdict(changed, anchor, split=draw.randrange(RECORDS)) is not None, changed


def test_the_first_bad_record_is_named() -> None:
    lines, anchor = chain()
    lines[10] = lines[10].replace(b'"k1"', b'"k2"')
    assert verdict(lines, anchor) == (
        "a-000002, line 2 (record 10): its content does not have the hash that it names: it was changed"
    )
    lines, anchor = chain()
    found = verdict(lines[:20], anchor)
    assert found == "record 20: the anchor has 24 records, and the log 20: 4 at the end are missing"


def keys(folder: Path) -> tuple[Path, Path, Path]:
    key = Ed25519PrivateKey.generate()
    private, public, secret = folder / "private.pem", folder / "public.pem", folder / "secret"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    secret.write_bytes(b"\x07" * 32)
    return private, public, secret


def test_a_seal_shows_that_log_and_anchor_were_rewritten_together(tmp_path: Path) -> None:
    private, public, secret = keys(tmp_path)
    for number, (sealing, checking) in enumerate(((private, public), (private, private), (secret, secret))):
        settings = AuditSettings(folder=tmp_path / str(number) / "log", seal=sealing)
        log = AuditLog(settings)
        log.record("answered", {}).result(10)
        log.close()
        assert verify(settings, Seal(checking)).problem is None
        anchor = read_anchor(settings.anchor_file, "audit", Seal(checking))
        lines, forged = chain(anchor.count)
        settings.segments()[0].write_bytes(b"".join(lines))
        write_anchor(settings.anchor_file, forged, None, durable=False)
        assert verify(settings).problem is None, "without the key nobody can tell"
        assert "was not sealed with this key" in str(verify(settings, Seal(checking)).problem)


def test_a_public_key_does_not_seal_and_a_short_secret_is_refused(tmp_path: Path) -> None:
    _, public, _ = keys(tmp_path)
    with pytest.raises(ConfigError, match="public key"):
        AuditLog(AuditSettings(folder=tmp_path / "log", seal=public))
    (tmp_path / "short").write_bytes(b"x" * 31)
    with pytest.raises(ConfigError, match="at least 32 bytes"):
        Seal(tmp_path / "short")


def test_a_missing_anchor_is_a_problem(tmp_path: Path) -> None:
    settings = AuditSettings(folder=tmp_path / "log")
    log = AuditLog(settings)
    log.record("answered", {})
    log.close()
    settings.anchor_file.unlink()
    assert "is missing" in str(verify(settings).problem)
    assert verify(settings, anchored=False).problem is None
    with pytest.raises(ConfigError, match="anchor"):
        AuditLog(settings)


def test_records_behind_the_anchor_are_counted(tmp_path: Path) -> None:
    settings = AuditSettings(folder=tmp_path / "log")
    log = AuditLog(settings)
    log.record("answered", {}).result(10)
    told = verify(settings)
    log.close()
    assert told.problem is None
    assert any("1 records are newer than the anchor" in note for note in told.notes)
