"""Reads an uploaded file from a multipart form, never holding more than a limit. Keeps nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi import Request as HttpRequest
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from dovetail.serve.api.http.body import refuse_size
from dovetail.serve.api.http.wire import refuse
from dovetail.serve.errors import UserError

FORM_BYTES = 64 * 1024
"""What the form may have beside the file."""

FIELDS = ("file", "purpose", "expires_after")
"""What the form may hold."""

SHORTEST, LONGEST = 3600, 30 * 24 * 3600
"""How long a file may be kept that is to expire, in seconds."""


@dataclass(frozen=True)
class Upload:
    """A file as it came. ``ignored``: further fields of its form."""

    filename: str
    purpose: str
    text: str
    expire_after: int | None
    ignored: tuple[str, ...] = ()


async def read_upload(http: HttpRequest, limit: int) -> Upload:
    """The file of the request, of at most ``limit`` bytes. Raises UserError that names the field at fault."""
    if not http.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise UserError("A file comes as multipart/form-data.", code="invalid_content_type", param="content-type")
    parser = MultiPartParser(
        http.headers, _bounded(http, limit + FORM_BYTES), max_files=1, max_fields=16, max_part_size=FORM_BYTES
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise UserError(f"The form is not usable: {error.message}", code="invalid_form") from error
    try:
        return await _upload(form, limit)
    finally:
        await form.close()


async def _upload(form: FormData, limit: int) -> Upload:
    file, purpose = form.get("file"), form.get("purpose")
    if not isinstance(file, UploadFile):
        refuse("file", "a file with a name is required")
    if purpose != "batch":
        refuse("purpose", "must be batch: files are for batches here")
    body = await file.read()
    if len(body) > limit:
        refuse_size(limit)
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        refuse("file", f"is not valid UTF-8 (byte {error.start})")
    unknown = tuple(dict.fromkeys(name for name in form if name.partition("[")[0] not in FIELDS))
    return Upload(file.filename or "file.jsonl", "batch", text.removeprefix("\ufeff"), _expire_after(form), unknown)


def _expire_after(form: FormData) -> int | None:
    anchor, seconds = form.get("expires_after[anchor]"), form.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        refuse("expires_after.anchor", "must be created_at")
    if not isinstance(seconds, str) or not seconds.isascii() or not seconds.isdecimal():
        refuse("expires_after.seconds", "must be a whole number")
    if not SHORTEST <= int(seconds[:9]) <= LONGEST:
        refuse("expires_after.seconds", f"must be between {SHORTEST} and {LONGEST}")
    return int(seconds[:9])


async def _bounded(http: HttpRequest, limit: int) -> AsyncGenerator[bytes, None]:
    """The body up to ``limit``; what is beyond is read and thrown away, since a sending client looks at no answer."""
    seen = 0
    async for chunk in http.stream():
        seen += len(chunk)
        if seen <= limit:
            yield chunk
        elif seen > 2 * limit:
            break
    if seen > limit:
        refuse_size(limit)
