"""A client that sends bytes as they are and reads whatever comes back: HTTP/1.1 with a length, in chunks, or until the end."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass


class NoAnswer(Exception):
    """There was no whole answer; says why."""


@dataclass(frozen=True)
class Answer:
    """An answer that came whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    def fault(self) -> str:
        """What is wrong with it; nothing for an answer or a refusal as they should be."""
        if self.status >= 500 and not (self.status in (503, 529) and "retry-after" in self.headers):
            return "status"
        if self.status == 429 and "retry-after" not in self.headers:
            return "no retry-after"
        kind = self.headers.get("content-type", "")
        if kind.startswith("text/event-stream"):
            return self._stream_fault()
        if kind.startswith("application/json"):
            return self._json_fault()
        return ""

    def _json_fault(self) -> str:
        if not self.body:
            return ""  # of a HEAD request
        try:
            told = json.loads(self.body)
        except ValueError:
            return "no JSON"
        if self.status >= 400 and not (isinstance(told.get("error"), dict) and told["error"].get("message")):
            return "no reason"
        return ""

    def _stream_fault(self) -> str:
        events = [line[6:] for line in self.body.split(b"\n") if line.startswith(b"data: ")]
        if not events:
            return "an empty stream"
        for event in events:
            if event != b"[DONE]":
                try:
                    told = json.loads(event)
                except ValueError:
                    return "no JSON in an event"
                error = told.get("error")
                if isinstance(error, dict) and error.get("code") == "internal_error":
                    return "status"
        return ""


class Connection:
    """One connection, opened when it is first needed. ``path``: of a socket in the file system, instead of a port."""

    def __init__(self, path: str | None, port: int) -> None:
        self._path = path
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.usable = True

    async def ask(self, head: bytes, body: bytes, *, leave: bool = False, end: bool = False) -> Answer:
        """Send a request and read its answer. ``leave``: go at once; ``end``: say that nothing more is coming. Raises NoAnswer."""
        again = self._streams is not None
        try:
            return await self._asked(head, body, leave, end)
        except NoAnswer as error:
            # A kept connection may have been closed just now, for waiting too long: then nothing was answered.
            if not again or str(error) != "closed":
                raise
            self.close()
            return await self._asked(head, body, leave, end)

    async def _asked(self, head: bytes, body: bytes, leave: bool, end: bool) -> Answer:
        try:
            if self._streams is None:
                connecting = (
                    asyncio.open_unix_connection(self._path)
                    if self._path is not None
                    else asyncio.open_connection("127.0.0.1", self._port)
                )
                self._streams = await connecting
            reader, writer = self._streams
            writer.write(head + body)
            if leave:
                raise NoAnswer("left")
            if end:
                writer.write_eof()
            sending = asyncio.create_task(writer.drain())
            try:
                return await self._read(reader, head.startswith(b"HEAD "))
            finally:
                sending.cancel()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            closed = isinstance(error, ConnectionError) or (
                isinstance(error, asyncio.IncompleteReadError) and not error.partial
            )
            raise NoAnswer("closed" if closed else f"{type(error).__name__}: {error}") from error

    async def _read(self, reader: asyncio.StreamReader, without_body: bool) -> Answer:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        if status == 100:
            return await self._read(reader, without_body)
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
        }
        self.usable = headers.get("connection", "").lower() != "close"
        if without_body or status in (204, 304):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, await _chunks(reader))
        if "content-length" in headers:
            return Answer(status, headers, await reader.readexactly(int(headers["content-length"])))
        self.usable = False
        return Answer(status, headers, await reader.read(-1))

    def close(self) -> None:
        """Close it; asked again, it opens anew."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None
        self.usable = True


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(parts)
