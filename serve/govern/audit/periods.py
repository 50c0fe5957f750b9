"""Keys of periods: texts are encrypted with the key of their day or month, and can no longer be read once it is destroyed."""

from __future__ import annotations

import base64
import binascii
import os
import re
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12
_FILE = re.compile(r"([0-9]{4}-[0-9]{2}(?:-[0-9]{2})?)\.key")


class PeriodKeys:
    """The keys in a folder, one file a period, readable by their owner only.

    Args:
        folder: None: there are none.
    """

    def __init__(self, folder: Path | None, name: str) -> None:
        self._folder = folder / name if folder is not None else None
        self._known: dict[str, AESGCM] = {}

    def encrypt(self, period: str, text: str) -> dict[str, str]:
        """``text`` as a record holds it; the period's key is made if there is none."""
        nonce = os.urandom(_NONCE)
        box = nonce + self._key(period, make=True).encrypt(nonce, text.encode(), period.encode())
        return {"period": period, "sealed": base64.b64encode(box).decode()}

    def decrypt(self, sealed: dict[str, str]) -> str | None:
        """The text; None where the key is gone, or is not the one that it was encrypted with."""
        try:
            box = base64.b64decode(sealed["sealed"], validate=True)
            key = self._key(sealed["period"], make=False)
            return key.decrypt(box[:_NONCE], box[_NONCE:], sealed["period"].encode()).decode()
        except (FileNotFoundError, InvalidTag, KeyError, binascii.Error, ValueError):
            return None

    def destroy_before(self, period: str) -> list[str]:
        """Overwrite and remove the keys of all periods before ``period``; returns those."""
        old = [each for each in self.periods() if each < period[: len(each)]]
        for each in old:
            path = self._path(each)
            with path.open("r+b") as file:
                file.write(os.urandom(32))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            self._known.pop(each, None)
        return old

    def periods(self) -> list[str]:
        """The periods that have a key."""
        if self._folder is None or not self._folder.is_dir():
            return []
        return sorted(match[1] for path in self._folder.iterdir() if (match := _FILE.fullmatch(path.name)))

    def _key(self, period: str, *, make: bool) -> AESGCM:
        known = self._known.get(period)
        if known is not None:
            return known
        path = self._path(period)
        if make and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = path.with_suffix(".new")
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(AESGCM.generate_key(256))
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(path)
        if _FILE.fullmatch(path.name) is None:
            raise ValueError(f"{period!r} is no period")
        self._known[period] = AESGCM(path.read_bytes())
        return self._known[period]

    def _path(self, period: str) -> Path:
        if self._folder is None:
            raise FileNotFoundError("no folder of keys is named")
        return self._folder / f"{period}.key"
