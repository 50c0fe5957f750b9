"""The cards that a deployment has had: in memory, and in a folder where there is one."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path

import structlog

from dovetail.serve.govern.card.document import Card

_NAME = re.compile(r"card_[0-9a-f]{24}")

log: structlog.stdlib.BoundLogger = structlog.get_logger("dovetail.card")


class Archive:
    """Cards by id. A folder that cannot be written is named in the log, once; the cards of this process are kept all the same."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._own: dict[str, Card] = {}
        self._writable = folder is not None

    def cards(self) -> list[Card]:
        """All of them, oldest first."""
        names = {**dict.fromkeys(self._names()), **self._own}
        found = [card for name in names if (card := self._read(name)) is not None]
        return sorted(found, key=lambda card: str(card["generated"]))

    def keep(self, card: Card) -> None:
        """Add a card."""
        self._own[card["id"]] = card
        if self._folder is None or not self._writable:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self._folder)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(card, file, indent=1)
            os.replace(temporary, self._folder / f"{card['id']}.json")
        except OSError as error:
            self._writable = False
            log.warning("cards are not kept", folder=str(self._folder), why=str(error))

    def _names(self) -> list[str]:
        if self._folder is None or not self._folder.is_dir():
            return []
        return [path.stem for path in self._folder.glob("card_*.json") if _NAME.fullmatch(path.stem)]

    def _read(self, name: str) -> Card | None:
        if name in self._own:
            return self._own[name]
        if self._folder is None:
            return None
        try:
            card: Card = json.loads((self._folder / f"{name}.json").read_text(encoding="utf-8"))
            return card if {card["id"], card["fingerprint"], card["generated"]} and card["id"] == name else None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("a card cannot be read", card=name, why=str(error))
            return None
