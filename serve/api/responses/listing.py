"""Lists of items as the protocol pages through them: ``order``, ``limit``, ``after``. Stores nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.datastructures import QueryParams

from dovetail.serve.api.http.wire import refuse
from dovetail.serve.api.responses.items import Item

MAX_PAGE = 100


def page(items: Sequence[Item], query: QueryParams) -> dict[str, Any]:
    """One page of ``items``, which come oldest first; by default the newest come first in it, as at OpenAI."""
    order = query.get("order", "desc")
    if order not in ("asc", "desc"):
        refuse("order", "must be asc or desc")
    limit = _whole(query.get("limit", "20"), "limit")
    if not 1 <= limit <= MAX_PAGE:
        refuse("limit", f"must be between 1 and {MAX_PAGE}")
    ordered = list(items) if order == "asc" else list(reversed(items))
    after = query.get("after")
    if after is not None:
        places = [index for index, item in enumerate(ordered) if item["id"] == after]
        if not places:
            refuse("after", f"there is no item {after!r} in this list")
        ordered = ordered[places[0] + 1 :]
    data = ordered[:limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(ordered) > limit,
    }


def starting_after(query: QueryParams) -> int:
    """The number of the last event that the client has seen; -1 if none."""
    return _whole(query.get("starting_after", "-1"), "starting_after")


def _whole(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError:
        refuse(name, "must be a whole number")
