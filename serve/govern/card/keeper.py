"""Keeps a deployment's card up to date: makes it when asked, notes what changed since the start, signs it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dovetail.serve.govern import dsse
from dovetail.serve.govern.card.archive import Archive
from dovetail.serve.govern.card.document import Card, id_of, make_card
from dovetail.serve.govern.card.evaluations import evaluations_in
from dovetail.serve.govern.card.facts import Facts
from dovetail.serve.govern.card.hosting import Hosting, Loading

PREDICATE = "urn:dovetail:system-card:1"
_DIGEST_WAIT_S = 2.0


@dataclass(frozen=True)
class Place:
    """Where results are read and cards are kept. None: nothing is."""

    evaluations: Path | None = None
    history: Path | None = None

    @classmethod
    def of(cls, folder: Path) -> Place:
        """Both below one folder."""
        return cls(folder / "evaluations", folder / "history")


def default_place() -> Place:
    """Below the user's state folder, where ``dovetail eval`` puts its results."""
    base = os.environ.get("XDG_STATE_HOME", "")
    state = Path(base) if os.path.isabs(base) else Path("~/.local/state").expanduser()
    return Place.of(state / "dovetail" / "card")


@dataclass
class CardKeeper:
    """The cards of one running server. Its methods read files, and may be called from any thread; never on an event loop,
    but for those that say so."""

    facts: Facts
    loaded: Loading
    place: Place = field(default_factory=Place)
    key: Path | None = None
    """A private key that signs cards."""
    read: Callable[[], str] | None = None
    """The digest of the first model's files (see Hosting)."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._hosted = {self.facts.model: Hosting(self.facts, self.loaded, self.read)}
        self._last: Card | None = None
        self._archive = Archive(self.place.history)

    def add(self, hosting: Hosting) -> None:
        """The server hosts one more. On an event loop, too."""
        self._hosted = {**self._hosted, hosting.facts.model: hosting}

    def add_adapter(self, name: str, parent: str, directory: Path) -> None:
        """A model has got an adapter, or another one of that name. On an event loop, too."""
        self.add(self._hosted[parent].adapter(name, directory))

    def remove(self, name: str) -> None:
        """It is gone. On an event loop, too."""
        self._hosted = {each: hosting for each, hosting in self._hosted.items() if each != name}

    def fingerprint_of(self, name: str) -> str | None:
        """What answers of this model name as their ``system_fingerprint``. On an event loop, too."""
        hosting = self._hosted.get(name)
        return hosting.facts.fingerprint if hosting is not None else None

    def card(self) -> Card:
        """The card as of now. It is a new one, with a new id, when what it says has changed."""
        with self._lock:
            hosted = list(self._hosted.values())
            _wait_for_digests(hosted)
            said = make_card(hosted, evaluations_in(self.place.evaluations))
            changed = dict.fromkeys(path for each in hosted for path in each.changed())
            because = [f"{path.name} was changed after the server read it" for path in changed]
            name = id_of(said)
            if self._last is None or self._last["id"] != name:
                self._last = {**said, "id": name, "generated": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
                self._archive.keep(self._last)
            return {**self._last, "stale": bool(because), "stale_because": because}

    def earlier(self, name: str) -> Card | None:
        """A card by its id, or the last one that names a fingerprint; marked stale unless it is the present one. None: not kept."""
        present = self.card()
        if name in _names(present):
            return present
        for kept in reversed(self._archive.cards()):
            if name in _names(kept):
                return {**kept, "stale": True, "stale_because": [f"{present['id']} has come after it"]}
        return None

    def history(self) -> list[dict[str, str]]:
        """Id, fingerprint and time of every card that is kept, oldest first."""
        return [{key: str(card[key]) for key in ("id", "fingerprint", "generated")} for card in self._archive.cards()]

    def signed(self, card: Card) -> dict[str, Any] | None:
        """A DSSE envelope around an in-toto statement about the card; None: no key was given. Raises KeyProblem."""
        if self.key is None:
            return None
        private = dsse.private_key(self.key)
        models = [card["model"], *(each["model"] for each in card.get("beside", ()))]
        subjects = [
            {"name": each["name"], "digest": {"sha256": (each["digest"] or "").removeprefix("sha256:")}}
            for each in models
        ]
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": subjects,
            "predicateType": PREDICATE,
            "predicate": card,
        }
        return dsse.seal(json.dumps(statement).encode(), private, key_id=dsse.key_id(private.public_key()))


def _wait_for_digests(hosted: Sequence[Hosting]) -> None:
    """Give digests that are being read a moment, all of them together."""
    until = time.monotonic() + _DIGEST_WAIT_S
    for reader in [each.begin() for each in hosted]:
        if reader is not None:
            reader.join(max(0.0, until - time.monotonic()))


def _names(card: Card) -> set[str]:
    """Its id, and the fingerprints that it speaks of."""
    return {card["id"], card["fingerprint"], *(each["fingerprint"] for each in card.get("beside", ()))}


def check_signed(envelope: Mapping[str, Any], key: Path) -> Card:
    """The card in a signed envelope. Raises KeyProblem, and what ``dsse.unseal`` raises."""
    statement = json.loads(dsse.unseal(dict(envelope), dsse.public_key(key)))
    if statement.get("predicateType") != PREDICATE:
        raise KeyError(f"it is no statement of {PREDICATE}")
    card: Card = statement["predicate"]
    return card
