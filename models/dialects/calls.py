"""What every reader of tool calls shares: the offered tools, text up to the next call, sections of calls.

Knows no way of writing arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dovetail.models.dialects.pieces import OfferedTool
from dovetail.models.dialects.reading import Reading, Wait


class CallReading(Reading):
    """Where no tool is offered nothing is read as a call. A family that looks for calls only then overrides :meth:`_calls`."""

    def __init__(
        self, tools: Iterable[OfferedTool], *, think: tuple[str, str] | None = None, thinking: bool = False
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        super().__init__(think=think, thinking=thinking)

    def _answer(self) -> Wait[None]:
        yield from self._calls() if self._tools else self._rest()

    def _calls(self) -> Wait[None]:
        """Text and calls, to the end of the output."""
        yield from self._rest()

    def _is_custom(self, name: str) -> bool:
        return name in self._tools and self._tools[name].kind == "custom"

    def _opened(self, *openers: str) -> Wait[str]:
        """Give out text up to one of ``openers``, which is on trial then; empty: the output ended."""
        opener = yield from self._copy("text", openers)
        if opener:
            self._trial = [opener]
        return opener

    def _sections(self, section: str, call: str, read: Callable[[], Wait[bool]]) -> Wait[None]:
        """Text, and sections of calls; a section's own opener may be missing.

        Args:
            read: reads a call after its opener; whether another follows in this section.
        """
        while opener := (yield from self._opened(section, call)):
            if opener == section:
                yield from self._blank()
                if not (yield from self._take(call)):
                    self._abandon()
                    continue
            while (yield from read()):
                pass

    def _section_ends(self, closer: str) -> Wait[None]:
        """After the last call of a section: ``closer`` belongs to it; anything else is text."""
        if (yield from self._take(closer)):
            self._commit()
        else:
            self._abandon()
