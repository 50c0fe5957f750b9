"""Keeps the first and the last bytes of an output of any length. Knows no process."""

from __future__ import annotations


class HeadAndTail:
    """Takes bytes, keeps at most ``limit`` of them: the first half, and the last half of what follows."""

    def __init__(self, limit: int) -> None:
        self._head_room = limit - limit // 2
        self._tail_room = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, chunk: bytes) -> None:
        """Take more output."""
        self.total += len(chunk)
        room = self._head_room - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        self._tail += chunk
        if len(self._tail) > 2 * self._tail_room + 65536:
            del self._tail[: len(self._tail) - self._tail_room]

    @property
    def dropped(self) -> int:
        """How many bytes are not kept."""
        return max(0, self.total - len(self._head) - self._tail_room)

    def text(self) -> str:
        """What is kept, with a line that says what is missing."""
        head = self._head.decode("utf-8", "replace")
        if not self.dropped:
            return (self._head + self._tail).decode("utf-8", "replace")
        tail = self._tail[len(self._tail) - self._tail_room :] if self._tail_room else b""
        return f"{head}\n[... {self.dropped} bytes of output left out ...]\n{tail.decode('utf-8', 'replace')}"
