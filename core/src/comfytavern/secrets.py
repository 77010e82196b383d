"""The operator's secrets: which there are, where each may be sent, and how to keep them unseen.

A node asks for an entry by name and says where it is about to send it. The value is given out
only if that URL lies below one of the base URLs that the entry is bound to. URLs are read more
strictly than HTTP clients read them: whatever two readers could take differently lies nowhere.
"""

from __future__ import annotations

import ipaddress
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus, unquote

from .errors import ComfyTavernError, did_you_mean

__all__ = ("SHOWN_SECRET", "SecretEntry", "SecretError", "SecretStore")

SHOWN_SECRET = "<secret>"
# A shorter value cannot be told from ordinary text: logs without it would be unreadable.
MIN_REDACTED = 4

_URL = re.compile(
    r"(https?)://"
    r"([a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])"  # no user name, no percent signs
    r"(?::([0-9]{1,5}))?"
    r"(/[^?#]*)?(?:\?[^#]*)?(?:#.*)?",
    re.I,
)
_PLAIN = re.compile(r"[!-\[\]-~]+")  # printable ASCII, no space, no backslash
_DEFAULT_PORTS = {"http": 80, "https": 443}


class SecretError(ComfyTavernError, LookupError):
    """A secret is not given out. ``name`` is its entry; the text never holds a value."""

    code = "secret_refused"

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"secret {name!r} {reason}")


@dataclass(frozen=True, slots=True)
class SecretEntry:
    """A secret and the base URLs it may be sent to; ``value`` fetches it when it is asked for."""

    value: Callable[[], str] = field(repr=False)
    base_urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """What a URL points to, so that one can lie below another."""

    scheme: str
    host: str
    port: int
    path: tuple[str, ...]

    def is_below(self, base: _Place) -> bool:
        return (self.scheme, self.host, self.port, self.path[: len(base.path)]) == (
            base.scheme,
            base.host,
            base.port,
            base.path,
        )

    def __str__(self) -> str:
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return "/".join([f"{self.scheme}://{self.host}{port}", *self.path])


class SecretStore:
    """Gives secrets to nodes, and takes them out of texts. Safe to use from threads.

    :raises SecretError: an entry has no base URL, or one that nothing can lie below
    """

    def __init__(self, entries: Mapping[str, SecretEntry]) -> None:
        self._entries = dict(entries)
        self._bases = {name: _bases(name, entry.base_urls) for name, entry in entries.items()}
        self._seen: dict[str, None] = {}  # in the order they were given out
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()

    def get(self, name: str, url: str | None) -> str:
        """Return a secret that is about to be sent to ``url``.

        :raises SecretError: no such entry, no URL, not bound to it, or it cannot be fetched
        """
        entry = self._entries.get(name)
        if entry is None:
            known = did_you_mean(name, self._entries)
            raise SecretError(name, f"is not an entry of 'secrets:'{known}")
        if not url:
            raise SecretError(name, "is given out only for a URL; say where it will be sent")
        place = _place(url)
        bases = self._bases[name]
        if place is None or not any(map(place.is_below, bases)):
            listed = ", ".join(map(str, bases))
            raise SecretError(name, f"is not bound to this URL; it may be sent below {listed}")
        return self._fetch(name, entry)

    def values_seen(self) -> list[str]:
        """Return every value that was given out so far, for redaction."""
        return list(self._seen)

    def redact(self, text: str) -> str:
        """Replace what was given out so far, also where it is quoted for a URL or for JSON.

        Values of fewer than four characters stay: they cannot be told from ordinary text.
        """
        return self._pattern.sub(SHOWN_SECRET, text) if self._pattern else text

    def __repr__(self) -> str:
        return f"SecretStore({', '.join(map(repr, self._entries))})"

    def _fetch(self, name: str, entry: SecretEntry) -> str:
        try:
            value = entry.value()
        except (ComfyTavernError, LookupError, OSError, ValueError):
            # Without its cause: that one may name a path of this machine or quote the value.
            raise SecretError(
                name, "cannot be fetched; 'comfytavern config check' says why"
            ) from None
        if value not in self._seen:
            with self._lock:
                self._seen[value] = None
                self._pattern = _pattern_of(self._seen)
        return value


def _bases(name: str, urls: tuple[str, ...]) -> tuple[_Place, ...]:
    found = []
    for url in urls:
        place = _place(url)
        if place is None:
            raise SecretError(
                name,
                f"has the base URL {url!r}; expected http or https, a host, perhaps a port and a"
                " path, all in ASCII, without '..' or a user name",
            )
        found.append(place)
    if not found:
        raise SecretError(name, "has no base URL; it can be sent nowhere")
    return tuple(found)


def _place(url: str) -> _Place | None:
    """Read a URL; None if it could be read in more than one way."""
    match = _URL.fullmatch(url) if _PLAIN.fullmatch(url) else None
    if match is None:
        return None
    scheme, host, port_text, path = match[1].lower(), match[2].lower(), match[3], match[4] or ""
    port = int(port_text) if port_text else _DEFAULT_PORTS[scheme]
    if host.startswith("["):
        try:
            host = f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
        except ValueError:
            return None
    segments = path.rstrip("/").split("/")[1:]
    if not 0 < port < 65536 or not all(map(_stays, segments)):
        return None
    return _Place(scheme, host, port, tuple(segments))


def _stays(segment: str) -> bool:
    """Tell whether a part of a path is one part, and no step up, to every server."""
    while (decoded := unquote(segment)) != segment:
        segment = decoded
    # Some servers cut off what follows a semicolon, and take the rest for a step up.
    return not re.search(r"[/\\\x00]", segment) and segment.partition(";")[0] not in (".", "..")


def _pattern_of(values: Mapping[str, None]) -> re.Pattern[str] | None:
    forms = {
        form for value in values if len(value) >= MIN_REDACTED for form in _ways_to_write(value)
    }
    longest_first = sorted(forms, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if forms else None


def _ways_to_write(value: str) -> tuple[str, ...]:
    # An environment variable may hold bytes that are no UTF-8; Python reads them as surrogates.
    return (
        value,
        quote(value, safe="", errors="surrogateescape"),
        quote_plus(value, errors="surrogateescape"),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
    )
