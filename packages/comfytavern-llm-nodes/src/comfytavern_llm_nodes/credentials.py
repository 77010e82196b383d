"""Secrets by reference: ``env:NAME`` and ``file:PATH``, read only when a request is made.

A secret's value exists in a ``Secret`` and in the headers of one request, nowhere else.
What a header cannot hold never becomes a ``Secret``: the HTTP library's error would quote it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

import anyio.to_thread
from pydantic import BeforeValidator, PlainSerializer

__all__ = (
    "HIDDEN",
    "RequestHeaders",
    "Secret",
    "SecretError",
    "SecretField",
    "SecretReference",
)

_REFERENCE = re.compile(r"(env|file):(\S(?:.*\S)?)")
_MAX_BYTES = 64 * 1024  # a key file that is larger is not a key file
HIDDEN = "<secret>"
_MIN_SCRUBBED = 4  # a shorter value cannot be told from ordinary text


class SecretError(ValueError):
    """A reference cannot be read; the text names the reference, never a value."""


class Secret:
    """A value that shows itself only to who asks with ``reveal``."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    @classmethod
    def for_header(cls, text: str, what: str) -> Secret:
        """Return the secret in ``text``, which ``what`` names in an error.

        :raises SecretError: it is empty, or no text that a header can hold
        """
        text = text.strip()
        if not text:
            raise SecretError(f"{what} is empty")
        if not (text.isascii() and text.isprintable()):
            raise SecretError(f"{what} holds characters that a header cannot carry")
        return cls(text)

    def reveal(self) -> str:
        """Return the value, to be sent and then forgotten."""
        return self._value

    def scrub(self, text: str) -> str:
        """Return ``text`` without the value, also where it is quoted for JSON or a URL."""
        if len(self._value) < _MIN_SCRUBBED:
            return text
        for form in (self._value, json.dumps(self._value)[1:-1], quote(self._value, safe="")):
            text = text.replace(form, HIDDEN)
        return text

    def __repr__(self) -> str:
        return HIDDEN

    def __reduce__(self) -> str:
        raise TypeError("a secret is not copied or stored")


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret stands. The reference itself is no secret and may be shown."""

    source: Literal["env", "file"]
    name: str

    def __str__(self) -> str:
        return f"{self.source}:{self.name}"

    @classmethod
    def parse(cls, value: object) -> SecretReference:
        """Return the reference that a text spells.

        :raises ValueError: the text is no reference; it is not quoted, as it may be a key
        """
        if isinstance(value, cls):
            return value
        found = _REFERENCE.fullmatch(value.strip()) if isinstance(value, str) else None
        if found is None:
            raise ValueError("expected env:NAME or file:PATH, as secrets are never written here")
        return cls("env" if found[1] == "env" else "file", found[2])

    def problem(self) -> str | None:
        """Return why the reference cannot be read, or None. Blocks: call it while loading."""
        if self.source == "env":
            set_ = os.environ.get(self.name, "").strip()
            return None if set_ else f"environment variable {self.name!r} is not set"
        return None if self._path.is_file() else f"file {self.name!r} does not exist"

    async def read(self) -> Secret:
        """Return the secret as it is now.

        :raises SecretError: it is missing, empty, or no text that a header can hold
        """
        if self.source == "env":
            text = os.environ.get(self.name, "")
            if problem := self.problem():
                raise SecretError(problem)
        else:
            text = await anyio.to_thread.run_sync(self._read_file)
        return Secret.for_header(text, str(self))

    @property
    def _path(self) -> Path:
        return Path(self.name).expanduser()

    def _read_file(self) -> str:
        try:
            with self._path.open("rb") as file:
                return file.read(_MAX_BYTES).decode("utf-8")
        except (OSError, UnicodeDecodeError, RuntimeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is no text"
            raise SecretError(f"{self} cannot be read: {reason}") from None


SecretField = Annotated[
    SecretReference, BeforeValidator(SecretReference.parse), PlainSerializer(str)
]


@dataclass(frozen=True, slots=True)
class RequestHeaders:
    """The headers of one request with their secrets filled in."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[Secret, ...] = ()

    @classmethod
    async def resolve(
        cls, key: SecretReference | None, others: Iterable[tuple[str, str | SecretReference]]
    ) -> RequestHeaders:
        """Read every reference.

        :raises SecretError: one of them cannot be read
        """
        values: dict[str, str] = {}
        secrets: list[Secret] = []
        for name, value in others:
            if isinstance(value, SecretReference):
                secrets.append(await value.read())
                value = secrets[-1].reveal()
            values[name] = value
        headers = cls(values, tuple(secrets))
        return headers if key is None else headers.with_key(await key.read())

    def with_key(self, key: Secret) -> RequestHeaders:
        """Return the same headers with a key."""
        named = {**self.values, "Authorization": f"Bearer {key.reveal()}"}
        return RequestHeaders(named, (*self.secrets, key))

    def scrub(self, text: str) -> str:
        """Return ``text`` without the secrets, should the other side have quoted one."""
        for secret in self.secrets:
            text = secret.scrub(text)
        return text
