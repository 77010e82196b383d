"""What of the users' files a browser may show, and the headers that keep the rest inert.

A file is shown only if its suffix is known to be harmless and, for pictures, if it begins like
one. Everything else, pages and scripts above all, is handed out as bytes to be saved.
"""

from __future__ import annotations

import re
from urllib.parse import quote

__all__ = ("UNKNOWN", "guess_media_type", "served_media_type", "serving_headers")

UNKNOWN = "application/octet-stream"
HEAD_BYTES = 16

_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "oga": "audio/ogg",
    "opus": "audio/ogg",
    "m4a": "audio/mp4",
    "aac": "audio/aac",
    "weba": "audio/webm",
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "webm": "video/webm",
    "ogv": "video/ogg",
    "mov": "video/quicktime",
    "txt": "text/plain",
    "md": "text/plain",
    "json": "application/json",
}
_BEGINNINGS = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}


def guess_media_type(name: str) -> str:
    """Return the type that the suffix of a name promises."""
    leaf = name.rpartition("/")[2]
    return _TYPES.get(leaf.rpartition(".")[2].lower(), UNKNOWN) if "." in leaf else UNKNOWN


def served_media_type(name: str, head: bytes) -> str:
    """Return the type to serve a file with.

    :param head: how it begins, at least ``HEAD_BYTES`` of it if there are as many
    """
    promised = guess_media_type(name)
    beginning = _BEGINNINGS.get(promised)
    return UNKNOWN if beginning is not None and not beginning.match(head) else promised


def serving_headers(name: str, media_type: str) -> dict[str, str]:
    """Return the headers, besides type and length, of a response with a user's file.

    :param media_type: what ``served_media_type`` said; any that is not known is not shown
    """
    shown = media_type in _TYPES.values()
    return {
        "Content-Disposition": _disposition("inline" if shown else "attachment", name),
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
    }


def _disposition(kind: str, name: str) -> str:
    leaf = name.rpartition("/")[2].encode(errors="replace").decode()
    # Within quotes only what every browser reads alike; the whole name follows encoded.
    plain = re.sub(r"[^A-Za-z0-9 !#$&'()+,.=@^_`{}~\[\]-]", "_", leaf)
    encoded = "" if plain == leaf else f"; filename*=UTF-8''{quote(leaf, safe='')}"
    return f'{kind}; filename="{plain}"{encoded}'
