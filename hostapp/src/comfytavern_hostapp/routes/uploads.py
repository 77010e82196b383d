"""The files in a request: from the multipart parser or the raw body, and from nowhere else.

What must stay true:

- No field of a request, and no JSON, can name a file of this machine in place of its bytes.
- The body is taken off the client before anything is stored, so that a slow client holds no
  thread; beyond a little it goes to a temporary file.
- How many parts there may be is bounded, and the client does not choose how text is decoded.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from comfytavern.errors import HostError

from ..library.file_tree import writing
from ..wire_library import UploadForm
from .refusals import BadRequestError

__all__ = ("MULTIPART", "RAW", "Upload", "form_in", "raw_in")

MULTIPART = "multipart/form-data"
RAW = "application/octet-stream"

MAX_FILES = 100
MAX_FIELDS = 10
MAX_FIELD_BYTES = 4096
_IN_MEMORY = 1024 * 1024

# What RFC 2046 lets a boundary be; it is quoted again below.
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{1,70}")


class MediaTypeError(HostError):
    """The body is of another type than the one that this path takes."""

    code = "media_type_refused"
    status = 415

    def __init__(self, given: str | None, expected: str) -> None:
        said = "gives no type for its body" if given is None else f"has a body of type {given!r}"
        super().__init__(f"the request {said}; send the file itself as {expected}")


class BadUploadError(HostError):
    """A form that cannot be read, or holds no file."""

    code = "bad_upload"

    def __init__(self, reason: str, status: int) -> None:
        self.status = status
        super().__init__(f"the upload {reason}")


@dataclass(frozen=True, slots=True)
class Upload:
    """The files of a form with what it says of them."""

    form: UploadForm
    files: Sequence[UploadFile]


@asynccontextmanager
async def form_in(request: Request) -> AsyncIterator[Upload]:
    """Read the form in a body; its files are there until the block is left.

    :raises MediaTypeError: it is no form
    :raises BadUploadError: it cannot be read, or holds no file
    :raises BadRequestError: its fields do not fit
    :raises LibraryWriteError: there is no room for it
    """
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    _require(request, media_type.decode("latin-1"), MULTIPART)
    form = await _parsed(request, options.get(b"boundary", b""))
    try:
        yield _checked(form)
    finally:
        await form.close()


@asynccontextmanager
async def raw_in(request: Request) -> AsyncIterator[BinaryIO]:
    """Read a body that is a file; it is there until the block is left.

    :raises MediaTypeError: it is something else
    :raises LibraryWriteError: there is no room for it
    """
    media_type, _ = parse_options_header(request.headers.get("content-type", ""))
    _require(request, media_type.decode("latin-1"), RAW)
    spool = cast("BinaryIO", SpooledTemporaryFile(max_size=_IN_MEMORY))
    file = UploadFile(spool, size=0)  # writes in a thread what does not stay in memory
    try:
        with writing("upload", request.scope["path"]):
            async for chunk in request.stream():
                await file.write(chunk)
            await file.seek(0)
        yield file.file
    finally:
        await file.close()


def _require(request: Request, media_type: str, expected: str) -> None:
    if media_type != expected:
        raise MediaTypeError(request.headers.get("content-type"), expected)


class _Parser(MultiPartParser):
    """Refuses what ends before its last boundary: a file in it would be missing in silence."""

    def __init__(self, request: Request, boundary: bytes) -> None:
        # Of the client's header only the boundary: a charset would name a module to import.
        content_type = f'{MULTIPART}; boundary="{boundary.decode("ascii")}"'
        super().__init__(
            Headers({"content-type": content_type}),
            self._whole(request),
            max_files=MAX_FILES,
            max_fields=MAX_FIELDS,
            max_part_size=MAX_FIELD_BYTES,
        )
        self._ended = False

    def on_end(self) -> None:
        self._ended = True

    async def _whole(self, request: Request) -> AsyncGenerator[bytes, None]:
        async for chunk in request.stream():
            yield chunk
        if not self._ended:
            raise MultiPartException("it ends before its last boundary")


async def _parsed(request: Request, boundary: bytes) -> FormData:
    if not _BOUNDARY.fullmatch(boundary):
        raise BadUploadError("names no boundary of at most 70 plain characters", 400)
    try:
        with writing("upload", request.scope["path"]):
            return await _Parser(request, boundary).parse()
    except MultiPartException as exc:
        sentences = exc.message.rstrip(".").split(". ")
        reason = "; ".join(sentence[:1].lower() + sentence[1:] for sentence in sentences)
        raise BadUploadError(f"cannot be read: {reason}", 400) from None


def _checked(form: FormData) -> Upload:
    fields: dict[str, object] = {}
    files: list[UploadFile] = []
    for key, value in form.multi_items():
        if isinstance(value, str):
            fields[key] = value
        elif value.filename:  # a form in which no file was chosen sends one without a name
            files.append(value)
    try:
        checked = UploadForm.model_validate(fields)
    except ValidationError as exc:
        raise BadRequestError("the form", exc) from None
    if not files:
        raise BadUploadError("holds no file; send each as a part with a file name", 422)
    return Upload(checked, files)
