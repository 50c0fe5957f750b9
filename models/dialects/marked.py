"""Calls between marker tokens: a name, a separator, the arguments. The ground of the DeepSeek, Kimi and Mistral readers."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.models.dialects.json_calls import JsonCalls, arguments_text, plain_input
from dovetail.models.dialects.reading import Wait


class MarkedCalls(JsonCalls):
    """What they have in common: arguments that stand alone, up to a marker."""

    def _marked_arguments(self, name: str, enders: Sequence[str]) -> Wait[None]:
        """The call of ``name``: JSON, or the plain input of a custom tool up to one of ``enders``, which stays."""
        self._commit()
        self._call(name)
        if self._is_custom(name):
            self._emit("arguments", plain_input((yield from self._before(enders))))
            self._emit("end")
            return
        yield from self._blank()
        if (yield from self._next("{")):
            yield from self._object_streamed()
        else:
            self._emit("arguments", arguments_text(False, (yield from self._before(enders)).strip()))
        self._emit("end")

    def _before(self, markers: Sequence[str]) -> Wait[str]:
        """What comes before the first of ``markers``."""
        text, marker = yield from self._until(*markers)
        self._buffer = marker + self._buffer
        return text
