"""The pointer's trail through a long text: found again anywhere once it has been lost for a while.

The plain trail looks some hundred tokens around the place it lost, which is right for a block; a whole file changes in more
than one way at once.
"""

from __future__ import annotations

from dovetail.serve.pointer import Pointer, Trail

_LOST_FOR = 8
_RUN = 5
_PLACES_AT_MOST = 4


class FarTrail(Trail):
    """As Trail; a run of five tokens that the text has at few places is enough to be found again."""

    def after(self, pointer: Pointer, token: int) -> Pointer:
        """The pointer once ``token`` has been emitted."""
        moved = super().after(pointer, token)
        if moved.place is not None or moved.since < _LOST_FOR or len(moved.recent) < _RUN:
            return moved
        places = self._places.get(moved.recent[-_RUN:], ())
        if not 1 <= len(places) <= _PLACES_AT_MOST:
            return moved
        ahead = [place for place in places if place >= moved.last] or list(places)
        return Pointer(
            min(ahead, key=lambda place: abs(place - moved.last)), moved.last, moved.since, moved.recent, _RUN
        )
