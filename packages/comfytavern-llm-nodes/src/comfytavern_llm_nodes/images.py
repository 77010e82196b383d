"""Pictures on their way to a model: checked, scaled down, written anew.

Writing them anew leaves behind what else a file may hold: places and times, text, a second
file. The work is done in threads, few at a time, and bounded by the number of pixels.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

import anyio
import anyio.to_thread

from comfytavern.errors import ComfyTavernError
from comfytavern.types import describe_value

from .settings import ImageLimits

__all__ = ("ImageError", "Images")

_DATA_URL = re.compile(r"data:image/[\w.+-]{1,40}(?:;[\w=.+-]{1,80})*;base64,", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_AT_ONCE = 2  # each may take four bytes per pixel, several times over


class ImageError(ComfyTavernError, ValueError):
    """A picture cannot be sent."""

    code = "llm_image_refused"


class Files(Protocol):
    """The door to files; ``context.resources`` is one."""

    async def read(self, name: str, *, limit: int | None = None) -> bytes: ...


class Images:
    """Makes pictures ready to be sent, within limits."""

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits
        self._threads = anyio.CapacityLimiter(_AT_ONCE)

    async def data_urls(self, value: object, files: Files) -> list[str]:
        """Return the pictures in an input as data URLs. Safe to cancel.

        :param value: the name of a resource, a data URL, bytes, or a list of those
        :raises ImageError: it is no picture, or more than the limits allow
        :raises ResourceError: the resource cannot be read
        """
        if value is None or value in ("", b""):
            return []
        if isinstance(value, list | tuple):
            return [url for item in value for url in await self.data_urls(item, files)]
        if isinstance(value, str) and _ADDRESS.match(value):
            if self._limits.addresses:
                return [value]
            raise ImageError(
                "the picture is a web address; expected a resource, a data URL or bytes (the"
                " operator can have addresses handed on: images.addresses)"
            )
        return [await self._written_anew(await self._bytes(value, files))]

    async def in_messages(
        self, messages: Sequence[Mapping[str, object]], files: Files
    ) -> list[Mapping[str, object]]:
        """Return messages whose pictures are ready to be sent; the rest stays as it is.

        :raises ImageError: one of them cannot be sent
        :raises ResourceError: a resource cannot be read
        """
        ready: list[Mapping[str, object]] = []
        for message in messages:
            content = message.get("content")
            if isinstance(content, list | tuple):
                parts = [await self._part(part, files) for part in content]
                message = {**message, "content": parts}
            ready.append(message)
        return ready

    async def _part(self, part: object, files: Files) -> object:
        if not isinstance(part, Mapping) or part.get("type") != "image_url":
            return part
        picture = part.get("image_url")
        named = picture if isinstance(picture, Mapping) else {"url": picture}
        urls = await self.data_urls(named.get("url"), files)
        if len(urls) != 1:
            raise ImageError("an 'image_url' part holds no picture; expected image_url: {url}")
        return {**part, "image_url": {**named, "url": urls[0]}}

    async def _bytes(self, value: object, files: Files) -> bytes:
        limit = self._limits.max_bytes
        if isinstance(value, str):
            found = _DATA_URL.match(value)
            if found is not None:
                return _decoded(value[found.end() :], limit)
            if value[:5].lower() == "data:":
                raise ImageError("the data URL is no picture; expected data:image/...;base64,...")
            data = await files.read(value, limit=limit)
        elif isinstance(value, bytes | bytearray | memoryview):
            data = bytes(value)
        else:
            raise ImageError(
                f"the picture is {describe_value(value)}; expected a resource, a data URL or bytes"
            )
        if len(data) > limit:
            raise _too_many_bytes(limit)
        return data

    async def _written_anew(self, data: bytes) -> str:
        return await anyio.to_thread.run_sync(
            _write_anew, data, self._limits, limiter=self._threads, abandon_on_cancel=True
        )


def _decoded(text: str, limit: int) -> bytes:
    if len(text) > limit * 4 // 3 + 4:
        raise _too_many_bytes(limit)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ImageError("the data URL of the picture is not base64") from None


def _too_many_bytes(limit: int) -> ImageError:
    return ImageError(f"the picture has more than {limit} bytes, the limit (images.max_bytes)")


def _write_anew(data: bytes, limits: ImageLimits) -> str:
    # Not at the top: Pillow costs more than the whole pack, and most runs send no picture.
    from .pictures import UnreadablePictureError, written_anew

    try:
        mime, written = written_anew(
            data, max_pixels=limits.max_pixels, max_side=limits.max_side, quality=limits.quality
        )
    except UnreadablePictureError as exc:
        raise ImageError(f"the picture {exc}") from None
    return f"data:{mime};base64,{base64.b64encode(written).decode()}"
