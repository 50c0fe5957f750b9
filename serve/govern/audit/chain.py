"""The chain: one record a line, each naming the hash of the one before it. Knows bytes; not what records are about.

A line is ``{"seq":0,...,"prev":"<64 hex>","hash":"<64 hex>"}``. The hash is SHA-256 of every byte of the line in front of
``,"hash":``, so no other spelling of the same record passes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

GENESIS = "0" * 64
"""What the first record of all names as the hash before it."""

_TAIL = re.compile(rb',"prev":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"}\Z')
_HEAD = re.compile(rb'{"seq":(0|[1-9][0-9]{0,17}),')
_HASH_PART = len(',"hash":""}') + 64


@dataclass(frozen=True)
class Link:
    """Where a chain stands: how many records, and the hash of the last one."""

    count: int = 0
    hash: str = GENESIS


class BrokenLine(ValueError):
    """A line that cannot follow the ones before it; the message says why."""


def line_of(fields: Mapping[str, Any], link: Link) -> tuple[bytes, Link]:
    """The line, with its line feed, of the record that follows ``link``, and where the chain stands after it."""
    body = msgspec.json.encode({"seq": link.count, **fields, "prev": link.hash})[:-1]
    digest = hashlib.sha256(body).hexdigest()
    return b'%b,"hash":"%b"}\n' % (body, digest.encode()), Link(link.count + 1, digest)


def follow(line: bytes, link: Link) -> Link:
    """Where the chain stands after ``line`` (without its line feed). Raises BrokenLine."""
    head, tail = _HEAD.match(line), _TAIL.search(line)
    if head is None or tail is None:
        raise BrokenLine("it is no record of this log")
    if hashlib.sha256(line[:-_HASH_PART]).hexdigest().encode() != tail[2]:
        raise BrokenLine("its content does not have the hash that it names: it was changed")
    number = int(head[1])
    if number != link.count:
        raise BrokenLine(f"it has the number {number} where {link.count} comes: records were removed, added or moved")
    if tail[1] != link.hash.encode():
        raise BrokenLine("it names another record before it than the one that is there: one of the two was changed")
    try:
        record_of(line)
    except msgspec.DecodeError as error:
        raise BrokenLine("it is no JSON") from error
    return Link(link.count + 1, tail[2].decode())


def record_of(line: bytes) -> dict[str, Any]:
    """The record in a line."""
    return msgspec.json.decode(line, type=dict[str, Any])
