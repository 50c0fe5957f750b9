"""Stored responses, their items, and conversations. Knows what is kept; not where, and not how it is shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from dovetail.serve.api.ids import fresh
from dovetail.serve.api.records import Change, Claims, Parameters, Record, Records, Result
from dovetail.serve.api.responses.items import Item
from dovetail.serve.errors import UserError

RESPONSE, ITEM, CONVERSATION = "response", "item", "conversation"


class Archive:
    """What later requests can refer to. All that reads or changes what is kept is done by ``aside``."""

    def __init__(self, records: Records) -> None:
        self._records = records

    @property
    def claims(self) -> Claims:
        """Which server makes what."""
        return self._records.claims

    async def aside(
        self, work: Callable[Parameters, Result], *args: Parameters.args, **named: Parameters.kwargs
    ) -> Result:
        """Do ``work`` without holding up the event loop."""
        return await self._records.aside(work, *args, **named)

    def keep(self, response: Record, items: Sequence[Item]) -> None:
        """Store a response with its input items, or its new state."""
        self._records.put(RESPONSE, response["id"], {"response": response, "input": list(items)})
        for item in response["output"]:
            self._records.put(ITEM, item["id"], item)

    async def written(self) -> None:
        """Wait until all this is where it outlives the process, if it is to. Raises EngineError where it cannot be kept."""
        await self._records.written()

    def response(self, id: str) -> Record:
        """The stored response; a 404 if there is none."""
        return self._saved(id)["response"]  # type: ignore[no-any-return]

    def input_items(self, id: str) -> list[Item]:
        """The input items that came with a response, without those of earlier ones."""
        return self._saved(id)["input"]  # type: ignore[no-any-return]

    def drop(self, id: str) -> None:
        """Delete a response and what it said; a 404 if there is none."""
        for item in self.response(id)["output"]:
            self._records.delete(ITEM, item["id"])
        self._records.delete(RESPONSE, id)

    def past(self, id: str) -> list[Item]:
        """All items of a response and of those before it, oldest first."""
        turns: list[list[Item]] = []
        seen: set[str] = set()
        current: str | None = id
        while current is not None and current not in seen:
            seen.add(current)
            saved = self._records.get(RESPONSE, current)
            if saved is None:
                raise UserError(
                    f"There is no stored response {current!r}; send the whole conversation in input instead.",
                    code="previous_response_not_found",
                    param="previous_response_id",
                )
            turns.append([*saved["input"], *saved["response"]["output"]])
            current = saved["response"]["previous_response_id"]
        return [item for turn in reversed(turns) for item in turn]

    def item(self, id: str) -> Item | None:
        """A stored output item."""
        return self._records.get(ITEM, id)

    def new_conversation(self, items: Sequence[Item], metadata: dict[str, str]) -> Record:
        """A conversation that begins with ``items``."""
        id = fresh("conv")
        conversation = {"id": id, "object": "conversation", "created_at": int(time.time()), "metadata": metadata}
        self._records.put(CONVERSATION, id, {"conversation": conversation, "items": list(items)})
        return conversation

    def conversation(self, id: str) -> Record:
        """The conversation; a 404 if there is none."""
        return self._talk(id)["conversation"]  # type: ignore[no-any-return]

    def describe(self, id: str, metadata: dict[str, str]) -> Record:
        """The conversation with new metadata."""
        talk = self._changed(id, lambda talk: {**talk, "conversation": {**talk["conversation"], "metadata": metadata}})
        return talk["conversation"]  # type: ignore[no-any-return]

    def conversation_items(self, id: str, param: str | None = None) -> list[Item]:
        """Its items, oldest first; a 404 if there is none. ``param``: the field that names it."""
        return self._talk(id, param)["items"]  # type: ignore[no-any-return]

    def append(self, id: str, items: Sequence[Item]) -> None:
        """Add to the end; nothing happens if the conversation has been deleted meanwhile."""
        self._records.change(CONVERSATION, id, lambda talk: {**talk, "items": [*talk["items"], *items]})

    def drop_item(self, id: str, item_id: str) -> Record:
        """The conversation without an item; a 404 if it has no such item."""

        def without(talk: Record) -> Record:
            kept = [item for item in talk["items"] if item["id"] != item_id]
            if len(kept) == len(talk["items"]):
                raise not_found(f"conversation {id!r} has no item", item_id)
            return {**talk, "items": kept}

        return self._changed(id, without)["conversation"]  # type: ignore[no-any-return]

    def drop_conversation(self, id: str) -> None:
        """Delete it; a 404 if there is none."""
        self._talk(id)
        self._records.delete(CONVERSATION, id)

    def _saved(self, id: str) -> dict[str, Any]:
        saved = self._records.get(RESPONSE, id)
        if saved is None:
            raise not_found("there is no stored response", id)
        return saved

    def _changed(self, id: str, change: Change) -> Record:
        talk = self._records.change(CONVERSATION, id, change)
        if talk is None:
            raise not_found("there is no conversation", id)
        return talk

    def _talk(self, id: str, param: str | None = None) -> dict[str, Any]:
        talk = self._records.get(CONVERSATION, id)
        if talk is None:
            raise not_found("there is no conversation", id, param)
        return talk


def not_found(what: str, id: str, param: str | None = None) -> UserError:
    """The 404 that names the id."""
    return UserError(f"{what[0].upper()}{what[1:]} {id!r}.", status=404, code="not_found", param=param)
