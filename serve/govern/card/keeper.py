"""Keeps a deployment's card up to date: makes it when asked, notes what changed since the start, signs it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from dovetail.serve.govern import dsse
from dovetail.serve.govern.card.archive import Archive
from dovetail.serve.govern.card.document import Card, Loaded, id_of, make_card
from dovetail.serve.govern.card.evaluations import evaluations_in
from dovetail.serve.govern.card.facts import Facts
from dovetail.serve.govern.weights.files import WeightsProblem, digest_of, digests_of, licence_of

PREDICATE = "urn:dovetail:system-card:1"
_DIGEST_WAIT_S = 2.0

log: structlog.stdlib.BoundLogger = structlog.get_logger("dovetail.card")

Loading = Callable[[], Loaded | None]
"""What the engine says of its model now; None: it is loading."""


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
    """The cards of one running server. Its methods read files, and may be called from any thread; never on an event loop."""

    facts: Facts
    loaded: Loading
    place: Place = field(default_factory=Place)
    key: Path | None = None
    """A private key that signs cards."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._at_start = {path: _state(path) for path in self.facts.watched}
        self._weights = self.facts.weights
        self._digest: threading.Thread | None = None
        self._last: Card | None = None
        self._archive = Archive(self.place.history)

    def card(self) -> Card:
        """The card as of now. It is a new one, with a new id, when what it says has changed."""
        with self._lock:
            said = make_card(
                self.facts,
                self.loaded(),
                evaluations_in(self.place.evaluations),
                self._digest_of_weights(),
                self.facts.licence,
            )
            because = [f"{path.name} was changed after the server read it" for path in self._changed()]
            name = id_of(said)
            if self._last is None or self._last["id"] != name:
                self._last = {**said, "id": name, "generated": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
                self._archive.keep(self._last)
            return {**self._last, "stale": bool(because), "stale_because": because}

    def earlier(self, name: str) -> Card | None:
        """A card by its id, or the last one of a fingerprint; marked stale unless it is the present one. None: not kept."""
        present = self.card()
        if name in (present["id"], present["fingerprint"]):
            return present
        for kept in reversed(self._archive.cards()):
            if name in (kept["id"], kept["fingerprint"]):
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
        digest = card["model"]["digest"]
        subject = {"name": card["model"]["name"], "digest": {"sha256": (digest or "").removeprefix("sha256:")}}
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [subject],
            "predicateType": PREDICATE,
            "predicate": card,
        }
        return dsse.seal(json.dumps(statement).encode(), private, key_id=dsse.key_id(private.public_key()))

    def _changed(self) -> list[Path]:
        return [path for path, before in self._at_start.items() if _state(path) != before]

    def _digest_of_weights(self) -> str | None:
        """The digest of the model's files. Large ones take minutes: until then it is not known."""
        if self._weights is None:
            if self._digest is None:
                self._digest = threading.Thread(target=self._read_weights, name="card-digest", daemon=True)
                self._digest.start()
            self._digest.join(_DIGEST_WAIT_S)
        return self._weights

    def _read_weights(self) -> None:
        try:
            self._weights = digest_of(digests_of(self.facts.directory))
        except (WeightsProblem, OSError) as error:
            log.warning("the model's files have no digest", why=str(error))


def check_signed(envelope: Mapping[str, Any], key: Path) -> Card:
    """The card in a signed envelope. Raises KeyProblem, and what ``dsse.unseal`` raises."""
    statement = json.loads(dsse.unseal(dict(envelope), dsse.public_key(key)))
    if statement.get("predicateType") != PREDICATE:
        raise KeyError(f"it is no statement of {PREDICATE}")
    card: Card = statement["predicate"]
    return card


def licence(directory: Path) -> str:
    """As the model's directory names it."""
    try:
        return licence_of(directory)
    except (OSError, ValueError):
        return "not named"


def _state(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
