"""Sending a file that is open already: whole, one range of it, or not at all.

What was looked at when it was opened is what is sent, whatever its name stands for by then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import BinaryIO

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from comfytavern.errors import HostError

from .conditions import is_known, not_modified

__all__ = ("send_file",)

_CHUNK = 256 * 1024
_RANGE = re.compile("bytes=([0-9]{0,18})-([0-9]{0,18})")


class RangeError(HostError):
    """A range that the file does not have."""

    code = "range_outside"
    status = 416

    def __init__(self, size: int) -> None:
        self.headers = {"Content-Range": f"bytes */{size}"}
        super().__init__(f"the range lies outside the file, which has {size} bytes")


def send_file(
    request: Request, file: BinaryIO, size: int, etag: str, headers: Mapping[str, str]
) -> Response:
    """Return the answer to a GET of a file; the file is closed by it, or by a failure.

    One range at a time is known. A header that asks for several, or for something else, is
    ignored, as HTTP allows.

    :param headers: among them the type, which the answer states as it is
    :raises RangeError: the range begins behind the end of the file
    """
    told = {**headers, "ETag": etag, "Accept-Ranges": "bytes"}
    try:
        if is_known(request, etag):
            file.close()
            return not_modified(etag)
        wanted = _range(request, size, etag)
    except BaseException:
        file.close()
        raise
    if wanted is None:
        return _FileResponse(file, 0, size, 200, told)
    first, last = wanted
    told["Content-Range"] = f"bytes {first}-{last}/{size}"
    return _FileResponse(file, first, last + 1 - first, 206, told)


def _range(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """Return the first and the last byte that are asked for, None for all.

    :raises RangeError: there are none of them
    """
    if request.headers.get("if-range", etag) != etag:
        return None
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        first, last = max(size - int(match[2]), 0), size - 1
    else:
        first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
        if match[2] and int(match[2]) < first:
            return None
    if first > last:
        raise RangeError(size)
    return first, last


class _FileResponse(Response):
    """Reads in a thread and closes the file, whether or not it could be sent."""

    def __init__(
        self, file: BinaryIO, start: int, length: int, status: int, headers: Mapping[str, str]
    ) -> None:
        self._file = file
        self._start = start
        self._length = length
        super().__init__(None, status, {**headers, "Content-Length": str(length)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            left = 0 if scope["method"] == "HEAD" else self._length
            await to_thread.run_sync(self._file.seek, self._start)
            while left and (chunk := await to_thread.run_sync(self._file.read, min(left, _CHUNK))):
                left -= len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
            if not self._length or scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
        finally:
            self._file.close()
