"""What is declined, and for how long: rules first, then the guard model, and runs that have been declined stay so.

A run is known by its session's name, by the conversation before a declined message, and by that message. Knows no protocol.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from dovetail.serve.govern.declines.document import AcceptableUse
from dovetail.serve.govern.declines.guard import Guard
from dovetail.serve.govern.declines.judge import Decline, judge

_REMEMBERED = 10_000
_AT_ONCE = 4_000
"""Characters that are judged on the event loop; more go to a thread."""


@dataclass(frozen=True)
class Said:
    """One message of a conversation. ``asks``: somebody asks for something by it, so that it is judged."""

    text: str
    asks: bool


class Conduct:
    """Judges requests by one policy.

    Args:
        clock: seconds, for expiry.
        transport: how the guard model is reached, for tests.
    """

    def __init__(
        self,
        policy: AcceptableUse,
        *,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.policy = policy
        self._guard = Guard(policy, policy.guard, transport) if policy.guard is not None else None
        self._clock = clock
        self._declined: OrderedDict[str, tuple[float, Decline]] = OrderedDict()
        self._passed: OrderedDict[str, None] = OrderedDict()

    async def judge(self, said: Sequence[Said], *, tenant: str = "", session: str | None = None) -> Decline | None:
        """Why a conversation that ends with ``said`` is declined; None: it is not.

        Raises EngineError where the guard model gives no answer and the policy fails closed.
        """
        places = _places(said, tenant)
        named = _key("session", tenant, session) if session else ""
        remembered = self._remembered([named, *(key for place in places for key in place.keys)])
        if remembered is not None:
            self._remember(remembered, [named])
            return Decline(remembered.clause, "run", remembered.rule)
        for place in places:
            if place.asked in self._passed:
                continue
            found = await self.judge_text(place.text)
            if found is not None:
                self._remember(found, [named, *place.keys])
                return found
            self._pass(place.asked)
        return None

    async def judge_plain(
        self, texts: Sequence[str], *, tenant: str = "", session: str | None = None
    ) -> Decline | None:
        """Why texts that are to be continued are declined: by rule, or as a declined run's.

        They are nobody's messages, and editors send one at every key: no guard model is asked, and only a session's name is remembered.
        """
        named = _key("session", tenant, session) if session else ""
        remembered = self._remembered([named])
        if remembered is not None:
            return Decline(remembered.clause, "run", remembered.rule)
        for text in texts:
            found = await self._ruled(text)
            if found is not None:
                self._remember(found, [named])
                return found
        return None

    async def judge_text(self, text: str) -> Decline | None:
        """As for one message that belongs to no run."""
        return await self._ruled(text) or (await self._guard.judge(text) if self._guard is not None else None)

    async def _ruled(self, text: str) -> Decline | None:
        long = len(text) > _AT_ONCE
        return await asyncio.to_thread(judge, self.policy, text) if long else judge(self.policy, text)

    async def close(self) -> None:
        """Let go of the guard model."""
        if self._guard is not None:
            await self._guard.close()

    def _pass(self, asked: str) -> None:
        """A message in its place is judged once."""
        self._passed[asked] = None
        while len(self._passed) > _REMEMBERED:
            self._passed.popitem(last=False)

    def _remembered(self, keys: Sequence[str]) -> Decline | None:
        now = self._clock()
        for key in keys:
            known = self._declined.get(key)
            if known is not None and known[0] > now:
                return known[1]
        return None

    def _remember(self, decline: Decline, keys: Sequence[str]) -> None:
        expires = self._clock() + self.policy.sticky_seconds
        for key in keys:
            if key:
                self._declined[key] = (expires, decline)
                self._declined.move_to_end(key)
        while len(self._declined) > _REMEMBERED:
            self._declined.popitem(last=False)


@dataclass(frozen=True)
class _Place:
    """A message that asks, and what its run is known by: it in its place, and the conversation before it."""

    text: str
    asked: str
    before: str | None

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.asked, self.before) if self.before is not None else (self.asked,)


def _places(said: Sequence[Said], tenant: str) -> list[_Place]:
    """The beginning alone (a system prompt, a first question) is many runs' and names none; an answered turn is one's own."""
    digest = hashlib.sha256(tenant.encode())
    places: list[_Place] = []
    answered = asked = False
    for each in said:
        before = digest.hexdigest()
        digest.update(f"\0{each.asks}\0{each.text}".encode("utf-8", "replace"))
        if each.asks:
            places.append(_Place(each.text, "at:" + digest.hexdigest(), "before:" + before if answered else None))
            asked = True
        else:
            answered = answered or asked
    return places


def _key(kind: str, tenant: str, name: str) -> str:
    return f"{kind}:" + hashlib.sha256(f"{tenant}\0{name}".encode("utf-8", "replace")).hexdigest()
